package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/table"
)

// Wake is the message that there may be something to tell of a customer: to one endpoint, or
// to all. It is a hint to look.
type Wake struct {
	Project     string `json:"project"`
	Environment string `json:"environment"`
	Customer    string `json:"customer"`           // our own id
	Endpoint    string `json:"endpoint,omitempty"` // "" is all
}

// Scope is where the customer lives.
func (w Wake) Scope() table.Scope { return table.Scope{Project: w.Project, Environment: w.Environment} }

// Publisher tells endpoints of events. It is the only thing here that sends any.
type Publisher struct {
	Tables   table.Tables
	Registry *Registry
	Courier  Courier
	Clock    clock.Clock
	Log      *slog.Logger
	// Catalog says what was sold, to the format revenuecat; without it that says less.
	Catalog *catalog.Catalog
	// Lease is how long whoever sends is let alone. It outlives the function.
	Lease time.Duration
}

const (
	// room is what must be left of an invocation's time for another request: enough for it and
	// for writing down what became of it.
	room = Wait + 3*time.Second
	// mostSent bounds what one look sends to one endpoint; the rest is due at once.
	mostSent = 500
	// eachWritten is after how many requests the cursor is written: no more than those are
	// repeated when the function dies.
	eachWritten = 10
	// eventsAtOnce is how many events are read at once.
	eventsAtOnce = 50
	// mostLetters bounds the dead letters of one write.
	mostLetters = 20
)

// Work looks at what a message points to. Errors: fault.Unavailable, and bugs; the message
// should come again.
func (p *Publisher) Work(ctx context.Context, w Wake) error {
	// The customer before the registry: an event that an endpoint is not told of was written
	// before there was the endpoint.
	scope := w.Scope()
	c, err := customer.Outgoing(ctx, p.Tables, scope, w.Customer)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	of, err := read(ctx, p.Tables.Get, scope)
	if err != nil {
		return err
	}
	look := &look{Publisher: p, scope: scope, customer: c, registry: of}
	if w.Endpoint != "" {
		e, ok := of.find(w.Endpoint)
		if !ok {
			return p.forget(ctx, scope, w.Endpoint, w.Customer)
		}
		_, err := look.at(ctx, e)
		return err
	}
	if !of.active() {
		return nil // the outbox keeps it
	}
	all := true
	var failed error
	for _, e := range of.Endpoints {
		covered, err := look.at(ctx, e)
		all = all && covered && err == nil
		failed = errors.Join(failed, err)
	}
	if !all || c.Relayed() >= c.Sequence() {
		return failed
	}
	relayed, err := c.Relay()
	if err != nil {
		return err
	}
	err = p.Tables.Commit(ctx, relayed)
	if errors.As(err, new(*table.Conflict)) {
		return nil // one more event came, or it was done; the entry is there for it
	}
	return err
}

// forget drops what waits for an endpoint that is no more.
func (p *Publisher) forget(ctx context.Context, scope table.Scope, endpoint, ref string) error {
	item, err := p.Tables.Get(ctx, progressKey(scope, endpoint, ref))
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = p.Tables.Commit(ctx, table.Removed(item))
	if errors.As(err, new(*table.Conflict)) {
		return nil
	}
	return err
}

// look is what a message leads to.
type look struct {
	*Publisher
	scope    table.Scope
	customer *customer.Customer
	registry registry

	opened map[string]Secrets
	named  bool
	first  string
	others []string
}

// at brings an endpoint up to the customer's last event as far as that goes now. covered says
// that the progress itself has an entry for whatever is left to do.
func (l *look) at(ctx context.Context, e Endpoint) (covered bool, err error) {
	now := l.Clock.Now().UTC()
	d, err := open(ctx, l.Tables, l.scope, e, l.customer)
	if err == nil && d.Parked && e.State == Active {
		d.progress = d.awoken(now)
	}
	switch {
	case err != nil:
		return false, err
	case d.Leased.After(now):
		return false, nil // whoever sends may not have read the last event
	case d.Cursor >= l.customer.Sequence():
		return l.settle(ctx, d)
	case e.State != Active:
		return l.park(ctx, d, now)
	case d.DueAt.After(now):
		return true, nil
	case !clock.Room(ctx, room):
		if d.item.Index != nil && !d.Parked {
			return true, nil
		}
		d.DueAt, d.Leased, d.Parked = now, time.Time{}, false
		return l.store(ctx, &d)
	}
	b, err := readBreaker(ctx, l.Tables, l.scope, e.ID)
	if err != nil {
		return false, err
	}
	if !b.lets(now) {
		if next, dead := d.refused(now, b); !dead {
			d.progress = next
			d.Leased, d.Parked = time.Time{}, false
			return l.store(ctx, &d)
		}
	} else if b.open() {
		b.ProbeAt = now.Add(probeEach)
		if overtaken, err := b.save(ctx, l.Tables); overtaken || err != nil {
			return false, err // somebody else probes it; this one comes again
		}
		b.probing = true
	}
	d.Leased, d.Parked = now.Add(l.Lease), false
	if ok, err := l.store(ctx, &d); !ok || err != nil {
		return false, err
	}
	return l.send(ctx, e, d, b)
}

// store saves the progress; where another look was first, it knows better.
func (l *look) store(ctx context.Context, d *kept, more ...table.Write) (ok bool, err error) {
	err = d.save(ctx, l.Tables, l.scope, more...)
	if errors.As(err, new(*table.Conflict)) {
		return false, nil
	}
	return err == nil, err
}

// settle takes away the entry of one that has nothing to do any more.
func (l *look) settle(ctx context.Context, d kept) (bool, error) {
	if d.item.Index == nil {
		return true, nil
	}
	// The customer was read before the progress, which may be waiting with an event since.
	c, err := customer.Outgoing(ctx, l.Tables, l.scope, l.customer.Ref)
	if err != nil || c.Sequence() > d.Cursor {
		return false, err
	}
	d.progress = d.moves(d.Cursor)
	d.Leased, d.Parked = time.Time{}, false
	return l.store(ctx, &d)
}

// park has it wait until its endpoint is active again.
func (l *look) park(ctx context.Context, d kept, now time.Time) (bool, error) {
	if d.Parked && d.item.Index != nil {
		return true, nil
	}
	if d.DueAt.IsZero() {
		d.DueAt = now
	}
	d.Leased, d.Parked = time.Time{}, true
	return l.store(ctx, &d)
}

// run is one look's sending to one endpoint.
type run struct {
	endpoint Endpoint
	kept
	breaker breaker
	letters []Letter
	sent    int // requests
	since   int // the last write
}

// send sends what is after the cursor, in order, and writes down how far it came.
func (l *look) send(ctx context.Context, e Endpoint, d kept, b breaker) (covered bool, err error) {
	r := &run{endpoint: e, kept: d, breaker: b}
	r.DueAt = time.Time{}
	going := true
	for going && err == nil {
		var events []event.Event
		events, err = customer.Events(ctx, l.Tables, l.scope, l.customer.Ref, r.Cursor, eventsAtOnce)
		if err != nil || len(events) == 0 {
			break
		}
		var told []customer.Told
		if told, err = l.customer.Told(ctx, l.Tables, events); err != nil {
			break
		}
		for i := 0; i < len(told) && going && err == nil; i++ {
			going, err = l.one(ctx, r, told[i])
		}
	}
	if err != nil && r.DueAt.IsZero() {
		r.DueAt = l.Clock.Now().UTC() // at once, but after whoever else is due
	}
	r.Leased = time.Time{}
	if ctx.Err() != nil {
		return false, err // the lease ends by itself, and leads back here
	}
	covered, saveErr := l.write(ctx, r)
	return covered && err == nil, errors.Join(err, saveErr)
}

// write stores how far a run came, and its dead letters.
func (l *look) write(ctx context.Context, r *run) (bool, error) {
	writes, err := letterWrites(ctx, l.Tables, l.scope, r.letters)
	if err != nil {
		return false, err
	}
	ok, err := l.store(ctx, &r.kept, writes...)
	if !ok || err != nil {
		return false, err
	}
	for _, letter := range r.letters {
		l.Log.ErrorContext(ctx, "Events were not taken in three days and are dead letters.", "alarm", true, "scope", l.scope.String(),
			"endpoint", letter.Endpoint, "customer", letter.Customer, "from", letter.From, "to", letter.To, "status", letter.Status)
	}
	r.letters, r.since = nil, 0
	return true, nil
}

// one tells of one event; going says whether the next one may follow.
func (l *look) one(ctx context.Context, r *run, e customer.Told) (going bool, err error) {
	now := l.Clock.Now().UTC()
	if !r.endpoint.Wants(e.Type) {
		r.progress = r.moves(e.Sequence)
		return true, nil
	}
	if r.sent >= mostSent || len(r.letters) >= mostLetters || !clock.Room(ctx, room) {
		r.DueAt = now
		return false, nil
	}
	if r.since >= eachWritten {
		if ok, err := l.write(ctx, r); !ok || err != nil {
			r.DueAt = now // should the last write of this look succeed after all
			return false, err
		}
	}
	r.progress = r.progress.since(e.At, now)
	o := outcome{Status: r.breaker.Status, Why: "it fails for everybody"}
	sent := r.breaker.lets(now) || r.breaker.probing
	if sent {
		r.sent++
		r.since++
		var skip bool
		if o, skip, err = l.tell(ctx, r.endpoint, e); err != nil {
			return false, err
		}
		if skip {
			r.sent--
			r.progress = r.moves(e.Sequence)
			return true, nil
		}
		if !o.ours {
			if err := l.note(ctx, r, o, l.Clock.Now().UTC()); err != nil {
				return false, err
			}
		}
	}
	if o.OK {
		r.progress = r.moves(e.Sequence)
		return true, nil
	}
	now = l.Clock.Now().UTC()
	if sent && o.Status == http.StatusGone {
		if err := l.Registry.disable(ctx, l.scope, r.endpoint); err != nil {
			return false, err
		}
		l.Log.ErrorContext(ctx, "An endpoint answered 410 Gone and is disabled.", "alarm", true, "scope", l.scope.String(), "endpoint", r.endpoint.ID)
		r.DueAt, r.Parked = now, true
		return false, nil
	}
	next, dead := r.fails(now, o.Status)
	if !sent {
		next, dead = r.refused(now, r.breaker)
	}
	l.Log.WarnContext(ctx, "An event was not taken.", "scope", l.scope.String(), "endpoint", r.endpoint.ID, "customer", r.Customer,
		"sequence", e.Sequence, "status", o.Status, "why", o.Why, "sent", sent, "tries", next.Tries, "dueAt", next.DueAt, "dead", dead)
	r.progress = next
	if !dead {
		return false, nil
	}
	if last := len(r.letters) - 1; last >= 0 && r.letters[last].To == e.Sequence-1 {
		r.letters[last].To, r.letters[last].Status = e.Sequence, o.Status
	} else {
		r.letters = append(r.letters, Letter{r.endpoint.ID, r.Customer, e.Sequence, e.Sequence, o.Status, now})
	}
	r.progress = r.gives(e.Sequence)
	return true, nil
}

// note counts an outcome for the endpoint as a whole.
func (l *look) note(ctx context.Context, r *run, o outcome, now time.Time) error {
	b := &r.breaker
	b.probing = false
	if o.OK && b.Failures == 0 {
		return nil
	}
	was := b.open()
	if b.Failures++; b.Failures == 1 {
		b.Since = now
	}
	if o.OK {
		b.Failures = 0
	}
	b.Status, b.ProbeAt = o.Status, time.Time{}
	if b.open() {
		b.ProbeAt = now.Add(probeEach)
	}
	overtaken, err := b.save(ctx, l.Tables)
	if overtaken {
		*b, err = readBreaker(ctx, l.Tables, l.scope, r.endpoint.ID)
		return err
	}
	if err == nil && b.open() && !was {
		l.Log.ErrorContext(ctx, "An endpoint fails for everybody and is only probed, once a minute.", "alarm", true,
			"scope", l.scope.String(), "endpoint", r.endpoint.ID, "status", o.Status)
	}
	return err
}

// tell sends one event, by as many requests as its format has for it: all of them are taken,
// or all are sent again.
func (l *look) tell(ctx context.Context, e Endpoint, told customer.Told) (o outcome, skip bool, err error) {
	if l.opened == nil {
		if l.opened, err = l.Registry.secrets(ctx, l.scope, l.registry); err != nil {
			return o, false, err
		}
	}
	if !l.named {
		if l.first, l.others, err = l.customer.Names(ctx, l.Tables); err != nil {
			return o, false, err
		}
		l.named = true
	}
	secrets := l.opened[e.ID]
	t := Telling{
		Scope: l.scope, ID: messageID(l.scope, l.customer.Ref, told.Sequence), CustomerID: l.first, OtherIDs: l.others,
		Event: told, Authorization: secrets.Authorization,
	}
	format := formats[e.Format]
	var bodies [][]byte
	var header http.Header
	if format.Whole() {
		err = l.fill(ctx, &t)
	}
	if err == nil {
		bodies, header, err = format.Compose(t)
	}
	switch {
	case fault.Retryable(err):
		return o, false, err
	case err == nil && len(bodies) == 0:
		return o, true, nil
	}
	for n := 0; n < len(bodies) && err == nil && (n == 0 || o.OK); n++ {
		o, err = l.Courier.post(ctx, e, secrets, messageIDOf(t.ID, n), l.Clock.Now(), bodies[n], header)
	}
	switch {
	case err != nil: // it would hold up what is behind it for ever
		l.Log.ErrorContext(ctx, "An event cannot be told.", "alarm", true, "scope", l.scope.String(), "endpoint", e.ID,
			"customer", l.customer.Ref, "sequence", told.Sequence, "error", err)
		return outcome{Why: "it cannot be told", ours: true}, false, nil
	case !o.OK && ctx.Err() != nil:
		return o, false, fault.New(fault.Unavailable, "interrupted", "The invocation ended.") // it says nothing of the endpoint
	}
	return o, false, nil
}

// fill reads what an event is about: its order or charge, and what the catalog says of it.
func (l *look) fill(ctx context.Context, t *Telling) error {
	for _, e := range l.customer.Entitlements(l.Clock.Now()) {
		if e.Active {
			t.Entitlements = append(t.Entitlements, e.ID)
		}
	}
	if err := l.order(ctx, t); err != nil || l.Catalog == nil {
		return err
	}
	product, ok := l.Catalog.BySKU(t.Event.Store, t.Event.ProductID)
	if t.Order != nil && t.Order.Product != "" {
		product, ok = l.Catalog.Product(t.Order.Product)
	}
	if ok {
		t.Kind = product.Kind
	}
	plan := t.Event.PlanID
	if plan == "" && t.Charge != nil {
		plan = t.Charge.Plan
	}
	if terms, ok := l.Catalog.Plan(plan); ok {
		t.Grace = terms.Grace
	}
	return nil
}

func (l *look) order(ctx context.Context, t *Telling) error {
	if t.Event.OrderID == "" {
		return nil
	}
	item, err := l.Tables.Get(ctx, table.Key{Table: table.Orders, Partition: l.scope.Key(t.Event.OrderID)})
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delivery: order: %w", err)
	}
	charge, err := billing.DecodeCharge(item)
	if err == nil && charge.Kind == billing.ChargeKind {
		t.Charge = &charge
		return nil
	}
	order, err := purchase.DecodeOrder(item)
	if err == nil {
		t.Order = &order
	}
	return err
}
