package telling_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"grantline/shared/customer"
	"grantline/shared/entitlement"
	"grantline/shared/simulate"
	"grantline/shared/simulate/deployment"
	"grantline/shared/simulate/telling"
	"grantline/shared/table"
)

// between is what stands between a deployment and the servers, and does what nobody should.
type between struct {
	servers *telling.Servers
	does    func(r *http.Request, body string) (*http.Response, error)
}

func (b *between) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	if b.does != nil {
		return b.does(r, string(text))
	}
	return b.servers.RoundTrip(r)
}

// calm is a quarter to which nothing happens but by its servers and people.
func calm(t *testing.T, seed uint64) (*simulate.World, *deployment.Deployment, *telling.Quarter, *between) {
	t.Helper()
	w := simulate.New(seed, start, simulate.NewWeather(seed, simulate.Faults{}))
	t.Cleanup(w.Close)
	b := &between{servers: telling.NewServers()}
	d := deployment.New(w, deployment.Options{Endpoints: b})
	return w, d, telling.New(d, telling.Options{Servers: b.servers, Customers: 3, Span: 4 * day, Sandbox: true}), b
}

func TestARequestThatNobodyShouldMakeIsFound(t *testing.T) {
	other := func(r *http.Request, body string) *http.Request {
		q := r.Clone(r.Context())
		q.Body = io.NopCloser(strings.NewReader(body))
		return q
	}
	for name, c := range map[string]struct {
		promise string
		does    func(b *between, r *http.Request, body string) (*http.Response, error)
	}{
		"under an id that none has": {telling.Written, func(b *between, r *http.Request, _ string) (*http.Response, error) {
			q := other(r, `{}`)
			q.Header.Set("webhook-id", "evt_another")
			return b.servers.RoundTrip(q)
		}},
		"under another id": {telling.OneID, func(b *between, r *http.Request, body string) (*http.Response, error) {
			q := other(r, body)
			q.Header.Set("webhook-id", r.Header.Get("webhook-id")+"x")
			return b.servers.RoundTrip(q)
		}},
		"of another body": {telling.Signed, func(b *between, r *http.Request, body string) (*http.Response, error) {
			return b.servers.RoundTrip(other(r, strings.Replace(body, `"sequence"`, `"Sequence"`, 1)))
		}},
		"an hour old": {telling.Signed, func(b *between, r *http.Request, body string) (*http.Response, error) {
			q := other(r, body)
			q.Header.Set("webhook-timestamp", "2208988800")
			return b.servers.RoundTrip(q)
		}},
		"without a signature": {telling.Signed, func(b *between, r *http.Request, body string) (*http.Response, error) {
			q := other(r, body)
			q.Header.Del("webhook-signature")
			return b.servers.RoundTrip(q)
		}},
		"to an address that nobody gave": {telling.Written, func(b *between, r *http.Request, body string) (*http.Response, error) {
			q := other(r, body)
			u := *r.URL
			u.RawQuery = "n=0"
			q.URL = &u
			return b.servers.RoundTrip(q)
		}},
		"that is taken on the way": {telling.Taken, func(_ *between, r *http.Request, _ string) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}},
		"twice, and the second time to another": {telling.Apart, func(b *between, r *http.Request, body string) (*http.Response, error) {
			q := other(r, body)
			u := *r.URL
			// The first endpoints of both scopes are made at once, the sandbox's after production's.
			u.Host, u.RawQuery = "shop-0.sandbox.example", "n=2"
			if strings.Contains(r.URL.Host, "sandbox") {
				u.Host, u.RawQuery = "shop-0.production.example", "n=1"
			}
			q.URL = &u
			return b.servers.RoundTrip(q)
		}},
	} {
		w, _, _, b := calm(t, 3)
		b.does = func(r *http.Request, body string) (*http.Response, error) {
			if strings.Contains(r.Header.Get("webhook-id"), "test") {
				return b.servers.RoundTrip(r)
			}
			return c.does(b, r, body)
		}
		if v := w.Run(start.Add(4 * day)); v == nil || v.Promise != c.promise {
			t.Errorf("a request %s: got %v, want that %q is broken", name, v, c.promise)
		}
	}
}

// kept finds the first item of a table whose key has a text.
func kept(t *testing.T, d *deployment.Deployment, in table.Table, has string) table.Item {
	t.Helper()
	for _, i := range d.Tables.Kept().Items(in) {
		if strings.Contains(i.Key.Partition+i.Key.Sort, has) {
			return i
		}
	}
	t.Fatalf("there is no %s in %s", has, in)
	return table.Item{}
}

// with is an item with members of its data changed.
func with(t *testing.T, i table.Item, change map[string]any) table.Item {
	t.Helper()
	data := map[string]any{}
	if err := json.Unmarshal(i.Data, &data); err != nil {
		t.Fatal(err)
	}
	for name, value := range change {
		data[name] = value
	}
	var err error
	if i.Data, err = json.Marshal(data); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestAWriteThatNobodyShouldMakeIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		promise string
		writes  func(d *deployment.Deployment) []table.Write
	}{
		"an event over another": {telling.Numbered, func(d *deployment.Deployment) []table.Write {
			return []table.Write{table.Replaced(kept(t, d, table.Customers, "event#000000000001"))}
		}},
		"an event that leaves one out": {telling.Numbered, func(d *deployment.Deployment) []table.Write {
			e := with(t, kept(t, d, table.Customers, "event#000000000001"), map[string]any{"sequence": 99})
			e.Key.Sort = "event#000000000099"
			return []table.Write{table.Inserted(e)}
		}},
		"a head that counts another": {telling.Numbered, func(d *deployment.Deployment) []table.Write {
			return []table.Write{table.Replaced(with(t, kept(t, d, table.Customers, "#head"), map[string]any{"sequence": 1000}))}
		}},
		"what no event tells of": {telling.Folded, func(d *deployment.Deployment) []table.Write {
			more := []entitlement.Source{{Kind: entitlement.KindGrant, Ref: "unheard of", Entitlement: "premium", State: entitlement.Active}}
			return []table.Write{table.Replaced(with(t, kept(t, d, table.Customers, "#head"), map[string]any{"sources": more}))}
		}},
		"money that no event tells of": {telling.Folded, func(d *deployment.Deployment) []table.Write {
			return []table.Write{table.Replaced(with(t, kept(t, d, table.Customers, "#wallet#"), map[string]any{"debt": 7}))}
		}},
		"a head that nobody comes back to": {telling.Entered, func(d *deployment.Deployment) []table.Write {
			h := with(t, kept(t, d, table.Customers, "#head"), map[string]any{"relayed": -1})
			h.Index = nil
			return []table.Write{table.Replaced(h)}
		}},
		"progress that was not made": {telling.Taken, func(d *deployment.Deployment) []table.Write {
			return []table.Write{table.Replaced(with(t, kept(t, d, table.Endpoints, "delivery#"), map[string]any{"cursor": 1000}))}
		}},
		"progress that is undone": {telling.InOrder, func(d *deployment.Deployment) []table.Write {
			return []table.Write{table.Replaced(with(t, kept(t, d, table.Endpoints, "delivery#"), map[string]any{"cursor": 0}))}
		}},
		"a letter of what is new": {telling.ByRule, func(d *deployment.Deployment) []table.Write {
			p := kept(t, d, table.Endpoints, "delivery#")
			var of struct{ Endpoint, Customer string }
			if err := json.Unmarshal(p.Data, &of); err != nil {
				t.Fatal(err)
			}
			l := table.Item{Key: p.Key, Schema: 1, Data: []byte(`{"endpoint":"` + of.Endpoint + `","customer":"` + of.Customer + `","from":900,"to":900}`)}
			l.Key.Partition = strings.Replace(p.Key.Partition, "#delivery#", "#letter#", 1) + "#900"
			return []table.Write{table.Inserted(l)}
		}},
	} {
		w, d, _, _ := calm(t, 5)
		if v := w.Run(start.Add(4 * day)); v != nil {
			t.Fatal(v)
		}
		if err := d.Tables.Commit(t.Context(), c.writes(d)...); err != nil {
			t.Fatal(err)
		}
		if v := w.Violated(); v == nil || v.Promise != c.promise {
			t.Errorf("%s: got %v, want that %q is broken", name, v, c.promise)
		}
	}
}

// What other quarters cause is told, and watched, as what this one does.
func TestOthersEventsAreToldAndItIsKnownWhen(t *testing.T) {
	w := simulate.New(1, start, simulate.NewWeather(1, simulate.Faults{}))
	t.Cleanup(w.Close)
	servers := telling.NewServers()
	d := deployment.New(w, deployment.Options{Endpoints: servers})
	q := telling.New(d, telling.Options{Servers: servers, Span: time.Hour})
	at := start.Add(2 * time.Hour)
	w.At(at, func() {
		d.Ask("api", func(ctx context.Context, r *deployment.Release) error {
			_, err := r.Directory.Grant(ctx, table.Default, "minji", customer.Grant{Entitlement: "premium", Reference: "ticket", Reason: "a gift"}, w.Clock())
			return err
		}, nil)
	})
	if v := w.Run(at); v != nil {
		t.Fatal(v)
	}
	ref, err := d.Release().Directory.Identity.Ref(t.Context(), table.Default, "minji")
	if err != nil {
		t.Fatal(err)
	}
	id := telling.MessageID(table.Default, ref, 1)
	if _, ok := q.Told(id); ok {
		t.Error("an event was told before it was written")
	}
	if v := w.Run(start.Add(telling.Settle)); v != nil {
		t.Fatal(v)
	}
	if q.AtRest(); w.Violated() != nil {
		t.Fatal(w.Violated())
	}
	if told, ok := q.Told(id); !ok || told.Before(at) || told.After(at.Add(2*time.Minute)) {
		t.Errorf("got %v, %v, want it told within two minutes of %v", told, ok, at)
	}
}
