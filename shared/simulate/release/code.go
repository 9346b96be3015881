package release

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/delivery"
	"grantline/shared/dodo"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/reminder"
	"grantline/shared/simulate/version"
	"grantline/shared/table"
	"grantline/shared/toss"
)

// never is longer than any run: simulated time does not pass by a real clock.
const never = 1000 * time.Hour

// New wires this version onto what all versions have alike, with the real adapters of Toss and
// Dodo; stores are asked at this end of theirs.
func New(p version.Ports) version.Code {
	goods, err := catalog.Parse(p.Catalog)
	if err != nil {
		panic("release: the catalog: " + err.Error())
	}
	a := Around{
		Tables: p.Tables, Clock: p.Clock, Log: p.Log, Sealer: p.Sealer, Catalog: goods, Gateways: map[string]billing.Gateway{},
		Courier: post(p.Tell), Servers: p.Servers, Charges: map[string]billing.Queue{}, Wakes: bytes[delivery.Wake]{p.Queues["events"]},
		Stores: map[string]purchase.Store{}, Histories: map[string][]notice.History{}, Notices: bytes[notice.Hint]{p.Queues["notices"]},
		Settings: Settings{
			Shards: billing.Shards(p.Shards), Lease: p.Lease, TossPace: p.TossPace, DodoPace: p.DodoPace,
			Restore: purchase.RestorePolicy(p.Restore), TestsADay: p.TestsADay,
		},
		Without: p.Without,
	}
	if err := json.Unmarshal(p.Abuse, &a.Abuse); err != nil {
		panic("release: the policy on abuse: " + err.Error())
	}
	for name, s := range p.Stores {
		a.Stores[name] = openStore(s)
	}
	for name, all := range p.Histories {
		for _, h := range all {
			a.Histories[name] = append(a.Histories[name], history{h})
		}
	}
	key := func(context.Context, bool) (string, error) { return "test_sk", nil }
	if by := p.Gateways["toss"]; by != nil {
		a.Gateways["toss"], err = toss.New(toss.Config{URL: "https://toss.invalid", Timeout: never, Log: p.Log, Transport: by, SecretKey: key})
		if err != nil {
			panic("release: " + err.Error())
		}
	}
	if by := p.Gateways["dodo"]; by != nil {
		a.Gateways["dodo"], err = dodo.New(dodo.Config{URL: "https://dodo.invalid", Timeout: never, Log: p.Log, Transport: by, Key: key})
		if err != nil {
			panic("release: " + err.Error())
		}
	}
	for _, queue := range []string{"toss", "dodo", billing.LaneDeliver} {
		if send := p.Queues[queue]; send != nil {
			a.Charges[queue] = bytes[billing.Due]{send}
		}
	}
	return code{Wire(a)}
}

// bytes is a queue whose messages lie in it as bytes.
type bytes[T any] struct{ send version.Send }

// Send hands over messages in order.
func (b bytes[T]) Send(ctx context.Context, group string, messages []T) (int, error) {
	all := make([][]byte, len(messages))
	for n, m := range messages {
		text, err := json.Marshal(m)
		if err != nil {
			return 0, err
		}
		all[n] = text
	}
	return b.send(ctx, group, all)
}

type post func(ctx context.Context, reminder json.RawMessage) error

// Tell tells a customer.
func (p post) Tell(ctx context.Context, r reminder.Reminder) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return p(ctx, text)
}

// code is this version as the simulated world asks for it.
type code struct{ *Release }

// Work does what a message asks for.
func (c code) Work(ctx context.Context, queue string, message []byte) error {
	switch queue {
	case "notices":
		return work(ctx, message, c.Look)
	case "events":
		return work(ctx, message, c.Publish)
	case billing.LaneDeliver:
		return work(ctx, message, c.Deliver)
	}
	return work(ctx, message, c.Charge)
}

func work[T any](ctx context.Context, message []byte, do func(context.Context, T) error) error {
	var m T
	if err := json.Unmarshal(message, &m); err != nil {
		return fmt.Errorf("release: a message: %w", err)
	}
	return do(ctx, m)
}

// Ask is a request of the API: of billing by its subscription, of customers, purchases and
// endpoints.
func (c code) Ask(ctx context.Context, verb string, arguments ...json.RawMessage) ([]any, error) {
	for _, of := range []func(context.Context, string, []json.RawMessage) ([]any, bool, error){c.askBilling, c.askCustomers, c.askEndpoints} {
		if answer, known, err := of(ctx, verb, arguments); known {
			return answer, err
		}
	}
	return nil, fmt.Errorf("release: there is no verb %q", verb)
}

func (c code) askBilling(ctx context.Context, verb string, arguments []json.RawMessage) (answer []any, known bool, err error) {
	var s billing.Subscription
	var id, other string
	var scope table.Scope
	b := c.Biller
	read := func(into ...any) error { return version.Read(arguments, append([]any{&scope}, into...)...) }
	one := func(answer any, err error) ([]any, bool, error) { return []any{answer}, true, err }
	switch verb {
	case "subscribe":
		var ask billing.SignUp
		if err = read(&ask); err == nil {
			return one(b.Subscribe(ctx, scope, ask))
		}
	case "cancel":
		var atOnce bool
		if err = read(&id, &atOnce); err == nil {
			return one(b.Cancel(ctx, scope, id, atOnce))
		}
	case "charges":
		if err = read(&s); err == nil {
			return one(b.Charges(ctx, scope, s))
		}
	case "resume":
		if err = read(&id); err == nil {
			return one(b.Resume(ctx, scope, id))
		}
	case "change method":
		var card *billing.NewCard
		if err = read(&id, &card, &other); err == nil {
			s, link, waits, err := b.ChangeMethod(ctx, scope, id, card, other)
			return []any{s, link, waits}, true, err
		}
	case "change plan":
		if err = read(&id, &other); err == nil {
			return one(b.ChangePlan(ctx, scope, id, other))
		}
	case "refund":
		var ask billing.RefundAsk
		if err = read(&ask); err == nil {
			charge, refund, err := b.Refund(ctx, scope, ask)
			return []any{charge, refund}, true, err
		}
	case "demand":
		var ask billing.Demand
		if err = read(&id, &ask); err == nil {
			return one(b.Demand(ctx, scope, id, ask))
		}
	case "erase subscription":
		if err = read(&id); err == nil {
			return nil, true, b.Erase(ctx, scope, id)
		}
	default:
		return nil, false, nil
	}
	return nil, true, err
}

func (c code) askCustomers(ctx context.Context, verb string, arguments []json.RawMessage) (answer []any, known bool, err error) {
	var id string
	var scope table.Scope
	d, clk := c.Directory, c.Biller.Clock
	read := func(into ...any) error { return version.Read(arguments, append([]any{&scope, &id}, into...)...) }
	none := func(_ *customer.Customer, err error) ([]any, bool, error) { return nil, true, err }
	var g customer.Grant
	switch verb {
	case "claim":
		var proof purchase.Proof
		if err = read(&proof); err == nil {
			got, err := c.Book.Claim(ctx, scope, id, proof)
			return []any{got.Order}, true, err
		}
	case "grant":
		if err = read(&g); err == nil {
			return none(d.Grant(ctx, scope, id, g, clk))
		}
	case "revoke":
		if err = read(&g); err == nil {
			return none(d.Revoke(ctx, scope, id, g, clk))
		}
	case "credit":
		var ask customer.CreditAsk
		if err = read(&ask); err == nil {
			credit, _, err := d.Credit(ctx, scope, id, ask, clk)
			return []any{credit}, true, err
		}
	case "spend":
		var ask customer.SpendAsk
		if err = read(&ask); err == nil {
			spend, _, err := d.Spend(ctx, scope, id, ask, clk)
			return []any{spend}, true, err
		}
	case "unspend":
		var ask customer.UnspendAsk
		if err = read(&ask); err == nil {
			back, spend, _, err := d.Unspend(ctx, scope, id, ask, clk)
			return []any{back, spend}, true, err
		}
	case "join":
		var ask customer.Alias
		if err = read(&ask); err == nil {
			return none(d.Join(ctx, scope, ask, clk))
		}
	case "erase customer":
		if err = read(); err == nil {
			return nil, true, d.Erase(ctx, scope, id, clk)
		}
	case "sign in":
		if err = read(); err == nil {
			return nil, true, d.SignedIn(ctx, scope, id, clk)
		}
	default:
		return nil, false, nil
	}
	return nil, true, err
}

func (c code) askEndpoints(ctx context.Context, verb string, arguments []json.RawMessage) (answer []any, known bool, err error) {
	var id, other string
	var scope table.Scope
	r := c.Registry
	read := func(into ...any) error { return version.Read(arguments, append([]any{&scope}, into...)...) }
	switch verb {
	case "create endpoint":
		var ask delivery.NewEndpoint
		if err = read(&ask); err == nil {
			_, _, err = r.Create(ctx, scope, ask)
		}
	case "change endpoint":
		var to delivery.Change
		if err = read(&id, &to); err == nil {
			_, err = r.Change(ctx, scope, id, to)
		}
	case "remove endpoint":
		if err = read(&id); err == nil {
			err = r.Remove(ctx, scope, id)
		}
	case "rotate secret":
		if err = read(&id, &other); err == nil {
			_, _, err = r.Rotate(ctx, scope, id, other)
		}
	case "redrive":
		if err = read(&id); err == nil {
			done, more, err := r.Redrive(ctx, scope, id)
			return []any{done, more}, true, err
		}
	case "replay":
		var after int64
		if err = read(&id, &other, &after); err == nil {
			err = r.Replay(ctx, scope, id, other, after)
		}
	case "test endpoint":
		if err = read(&id); err == nil {
			_, err = r.Test(ctx, scope, id)
		}
	default:
		return nil, false, nil
	}
	return nil, true, err
}
