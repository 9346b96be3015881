package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

const schema = 1

// Sealer encrypts what is kept, and opens it only for the record that it was bound to.
type Sealer interface {
	Seal(ctx context.Context, plaintext, bound []byte) ([]byte, error)
	Open(ctx context.Context, sealed, bound []byte) ([]byte, error)
}

// Registry keeps the endpoints of each scope, in one item with their secrets sealed.
type Registry struct {
	Tables  table.Tables
	Sealer  Sealer
	Clock   clock.Clock
	Courier Courier // carries what Test sends
}

// registry is the item as read.
type registry struct {
	Endpoints []Endpoint `json:"endpoints"`
	item      table.Item
}

func registryKey(scope table.Scope) table.Key {
	return table.Key{Table: table.Endpoints, Partition: scope.Key("registry")}
}

func registryBound(scope table.Scope) []byte { return []byte("endpoints|" + scope.String()) }

func decode(item table.Item, into any) error {
	if item.Schema > schema {
		return fmt.Errorf("delivery: item of schema %d, newer than this code's %d", item.Schema, schema)
	}
	if err := json.Unmarshal(item.Data, into); err != nil {
		return fmt.Errorf("delivery: an item cannot be read: %w", err)
	}
	return nil
}

func encode(key table.Key, read table.Item, value any) (table.Item, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return table.Item{}, fmt.Errorf("delivery: bug: %w", err)
	}
	read.Key, read.Schema, read.Data = key, schema, data
	return read, nil
}

// read reads the registry, strongly unless a moment's delay does no harm.
func read(ctx context.Context, get func(context.Context, table.Key) (table.Item, error), scope table.Scope) (registry, error) {
	var r registry
	item, err := get(ctx, registryKey(scope))
	if errors.Is(err, fault.NotFound) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("delivery: registry: %w", err)
	}
	r.item = item
	return r, decode(item, &r)
}

func (r registry) find(id string) (Endpoint, bool) {
	at := slices.IndexFunc(r.Endpoints, func(e Endpoint) bool { return e.ID == id })
	if at < 0 {
		return Endpoint{}, false
	}
	return r.Endpoints[at], true
}

func (r registry) active() bool {
	return slices.ContainsFunc(r.Endpoints, func(e Endpoint) bool { return e.State == Active })
}

// secrets opens those of all endpoints. Errors: fault.Unavailable.
func (r *Registry) secrets(ctx context.Context, scope table.Scope, of registry) (map[string]Secrets, error) {
	all := map[string]Secrets{}
	if len(of.item.Sealed) == 0 {
		return all, nil
	}
	plain, err := r.Sealer.Open(ctx, of.item.Sealed, registryBound(scope))
	if err != nil {
		return nil, fmt.Errorf("delivery: the endpoints' secrets: %w", err)
	}
	if json.Unmarshal(plain, &all) != nil { // whose text might be quoted
		return nil, errors.New("delivery: the endpoints' secrets cannot be read")
	}
	return all, nil
}

func noEndpoint() error {
	return fault.New(fault.NotFound, "endpoint_not_found", "There is no such endpoint.")
}

// mostTries bounds how often what was overtaken by another write is done anew.
const mostTries = 10

func pause(try int) time.Duration { return time.Duration(try+1) * 20 * time.Millisecond }

func busy(err error) error {
	return fault.New(fault.Unavailable, "busy", "Too much happened at once; ask again.").Because(err)
}

// again does something until no other write comes between, a bounded number of times.
func again(ctx context.Context, c clock.Clock, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if err == nil || !errors.As(err, new(*table.Conflict)) {
			return err
		}
		if try == mostTries {
			return busy(err)
		}
		if e := c.Sleep(ctx, pause(try)); e != nil {
			return busy(e)
		}
	}
}

// change decides anew and writes until nobody came between. decide may change secrets, which are
// nil unless it asks for them.
func (r *Registry) change(ctx context.Context, scope table.Scope, withSecrets bool, decide func(now time.Time, of *registry, secrets map[string]Secrets) (changed bool, err error)) error {
	return again(ctx, r.Clock, func() error {
		of, err := read(ctx, r.Tables.Get, scope)
		if err != nil {
			return err
		}
		var secrets map[string]Secrets
		if withSecrets {
			if secrets, err = r.secrets(ctx, scope, of); err != nil {
				return err
			}
		}
		changed, err := decide(r.Clock.Now().UTC(), &of, secrets)
		if err != nil || !changed {
			return err
		}
		item, err := encode(registryKey(scope), of.item, of)
		if err != nil {
			return err
		}
		if withSecrets {
			plain, err := json.Marshal(secrets)
			if err != nil {
				return errors.New("delivery: bug: secrets cannot be written")
			}
			if item.Sealed, err = r.Sealer.Seal(ctx, plain, registryBound(scope)); err != nil {
				return err
			}
		}
		return r.Tables.Commit(ctx, table.Put(item))
	})
}

// List is a scope's endpoints, the oldest first.
func (r *Registry) List(ctx context.Context, scope table.Scope) ([]Endpoint, error) {
	of, err := read(ctx, r.Tables.Get, scope)
	return of.Endpoints, err
}

// Get reads one endpoint. Errors: fault.NotFound.
func (r *Registry) Get(ctx context.Context, scope table.Scope, id string) (Endpoint, error) {
	of, err := read(ctx, r.Tables.Get, scope)
	if err != nil {
		return Endpoint{}, err
	}
	e, ok := of.find(id)
	if !ok {
		return Endpoint{}, noEndpoint()
	}
	return e, nil
}

// NewEndpoint is what is asked for.
type NewEndpoint struct {
	ID            string // "" has one made from URL and format
	URL           string
	Format        string // "" is standard
	Types         []string
	Description   string
	FromBeginning bool
	Authorization string // of the format revenuecat; "" has one made
}

// Create makes an endpoint and its secrets, which nobody is shown again. Asked again, the same
// endpoint is there, and the secrets are nil. Errors: fault.Malformed, fault.Invalid for
// an address that is not on the Internet, fault.Conflict.
func (r *Registry) Create(ctx context.Context, scope table.Scope, ask NewEndpoint) (e Endpoint, made *Secrets, err error) {
	e = Endpoint{
		ID: ask.ID, URL: ask.URL, Format: ask.Format, Types: ask.Types, Description: ask.Description, State: Active,
		FromBeginning: ask.FromBeginning,
	}
	if e.Format == "" {
		e.Format = Standard
	}
	if e.ID == "" {
		e.ID = derivedID(scope, e.URL, e.Format)
	}
	if err := e.valid(); err != nil {
		return e, nil, err
	}
	if err := validAuthorization(e.Format, ask.Authorization); err != nil {
		return e, nil, err
	}
	err = r.change(ctx, scope, true, func(now time.Time, of *registry, secrets map[string]Secrets) (bool, error) {
		made = nil
		if is, ok := of.find(e.ID); ok {
			if is.URL != e.URL || is.Format != e.Format || !slices.Equal(is.Types, e.Types) || is.Description != e.Description || is.FromBeginning != e.FromBeginning {
				return false, fault.New(fault.Conflict, "endpoint_exists", "There is another endpoint under this id; give another id, or change that one.")
			}
			e = is
			return false, nil
		}
		if len(of.Endpoints) >= MostEndpoints {
			return false, fault.New(fault.Conflict, "too_many_endpoints", "There are %d endpoints at most.", MostEndpoints)
		}
		s := newSecrets(e.Format, ask.Authorization)
		e.CreatedAt = now
		of.Endpoints, secrets[e.ID], made = append(of.Endpoints, e), s, &s
		return true, nil
	})
	if err != nil {
		return Endpoint{}, nil, err
	}
	return e, made, nil
}

// Change is what of an endpoint is to be another; nil leaves it.
type Change struct {
	URL         *string
	Types       *[]string
	Description *string
	State       *State
}

// Change changes an endpoint. Errors as of Create, and fault.NotFound.
func (r *Registry) Change(ctx context.Context, scope table.Scope, id string, to Change) (e Endpoint, err error) {
	err = r.change(ctx, scope, false, func(_ time.Time, of *registry, _ map[string]Secrets) (bool, error) {
		at := slices.IndexFunc(of.Endpoints, func(e Endpoint) bool { return e.ID == id })
		if at < 0 {
			return false, noEndpoint()
		}
		e = of.Endpoints[at]
		if to.URL != nil {
			e.URL = *to.URL
		}
		if to.Types != nil {
			e.Types = *to.Types
		}
		if to.Description != nil {
			e.Description = *to.Description
		}
		if to.State != nil {
			e.State, e.Because = *to.State, ""
		}
		of.Endpoints[at] = e
		return true, e.valid()
	})
	return e, err
}

// disable disables an endpoint that answered 410, unless somebody changed it meanwhile.
func (r *Registry) disable(ctx context.Context, scope table.Scope, was Endpoint) error {
	return r.change(ctx, scope, false, func(_ time.Time, of *registry, _ map[string]Secrets) (bool, error) {
		at := slices.IndexFunc(of.Endpoints, func(e Endpoint) bool {
			return e.ID == was.ID && e.URL == was.URL && e.State == Active && e.CreatedAt.Equal(was.CreatedAt)
		})
		if at < 0 {
			return false, nil
		}
		of.Endpoints[at].State, of.Endpoints[at].Because = Disabled, ByGone
		return true, nil
	})
}

// Remove takes an endpoint away, and its secrets. What waits for it is dropped when it is due.
// Errors: fault.NotFound.
func (r *Registry) Remove(ctx context.Context, scope table.Scope, id string) error {
	return r.change(ctx, scope, true, func(_ time.Time, of *registry, secrets map[string]Secrets) (bool, error) {
		if _, ok := of.find(id); !ok {
			return false, noEndpoint()
		}
		of.Endpoints = slices.DeleteFunc(of.Endpoints, func(e Endpoint) bool { return e.ID == id })
		delete(secrets, id)
		return true, nil
	})
}

// Rotate makes new secrets, which nobody is shown again. The signing one that was there signs for
// 24 hours more. Errors: fault.Malformed, fault.NotFound.
func (r *Registry) Rotate(ctx context.Context, scope table.Scope, id, authorization string) (e Endpoint, made Secrets, err error) {
	err = r.change(ctx, scope, true, func(now time.Time, of *registry, secrets map[string]Secrets) (bool, error) {
		at := slices.IndexFunc(of.Endpoints, func(e Endpoint) bool { return e.ID == id })
		if at < 0 {
			return false, noEndpoint()
		}
		e = of.Endpoints[at]
		if err := validAuthorization(e.Format, authorization); err != nil {
			return false, err
		}
		made = secrets[id].rotated(e.Format, authorization, now)
		e.RotatedAt = now
		of.Endpoints[at], secrets[id] = e, made
		return true, nil
	})
	return e, made, err
}
