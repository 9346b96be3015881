package purchase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// Held is a token of a line, and what is still to be told to the store about it.
type Held struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
	Kind   string `json:"kind"`
	// Over says that another token took the place of this one: what it still says of sales
	// that were paid gives nothing more.
	Over bool `json:"over,omitempty"`
	// Pending says that its first sale was claimed before it was paid.
	Pending bool `json:"pending,omitempty"`
	// Acknowledge says that the store is to be told of the delivery, and Consume which parts
	// are to be made buyable again; By is when it gives the money back otherwise, zero if it
	// does not.
	Acknowledge bool      `json:"acknowledge,omitempty"`
	Consume     []string  `json:"consume,omitempty"`
	Account     string    `json:"account,omitempty"` // as Token.Account
	By          time.Time `json:"by,omitzero"`
	Alarmed     bool      `json:"alarmed,omitempty"` // a person was told that By comes near
	// Tries counts what failed; Due is when to try again, and Settled until when what the
	// store says of it is no newer than what it was told.
	Tries   int       `json:"tries,omitempty"`
	Due     time.Time `json:"due,omitzero"`
	Settled time.Time `json:"settled,omitzero"`
}

// owes says whether the store is to be told anything.
func (h Held) owes() bool { return h.Acknowledge || len(h.Consume) > 0 }

// token is what to ask by.
func (h Held) token() Token { return Token{ID: h.ID, Secret: h.Secret, Kind: h.Kind} }

// mostTokens bounds what a line remembers of its chain; what is forgotten is over.
const mostTokens = 8

// How soon the store is told again, and when a person is told that it was not.
const (
	finishSoon  = 2 * time.Minute // what a crash left, and the first failure
	finishLate  = time.Hour
	finishAlarm = 24 * time.Hour // before By
	pendingLate = 6 * time.Hour  // between two looks at what is not paid yet
)

// held is what is known of a token, false if nothing.
func (r Record) held(id string) (Held, bool) {
	at := slices.IndexFunc(r.Tokens, func(h Held) bool { return h.ID == id })
	if at < 0 {
		return Held{}, false
	}
	return r.Tokens[at], true
}

// before are the ids of the tokens that came before one: those of its chain, and what the line
// holds behind them.
func (r Record) before(t Token) map[string]bool {
	before := map[string]bool{}
	for o := t.Older; o != nil; o = o.Older {
		before[o.ID] = true
	}
	behind := false
	for _, h := range r.Tokens {
		if behind = behind || before[h.ID]; behind && h.ID != t.ID {
			before[h.ID] = true
		}
	}
	return before
}

// meet adds a token to its line, in front of those whose place it took, and unless it is
// still to be paid they are over. One that has a record of its own and that the line does
// not hold came before one of those in front of it, and is over unless they are all still to
// be paid. What is over takes no place.
func (r Record) meet(t Token, recorded, pending bool) Record {
	r.Tokens = slices.Clone(r.Tokens)
	older := r.before(t)
	at := slices.IndexFunc(r.Tokens, func(h Held) bool { return h.ID == t.ID })
	if at < 0 {
		at = slices.IndexFunc(r.Tokens, func(h Held) bool { return older[h.ID] })
		switch {
		case at < 0 && recorded:
			at = len(r.Tokens)
		case at < 0:
			at = 0
		}
		paid := func(h Held) bool { return !h.Pending }
		over := recorded && len(r.Tokens) > 0 && (at == 0 || slices.ContainsFunc(r.Tokens[:at], paid))
		r.Tokens = slices.Insert(r.Tokens, at, Held{ID: t.ID, Over: over})
	}
	h := &r.Tokens[at]
	h.Secret, h.Kind, h.Pending = t.Secret, t.Kind, pending
	if pending {
		return r
	}
	for i := range r.Tokens {
		if older[r.Tokens[i].ID] && !h.Over {
			r.Tokens[i].Over, r.Tokens[i].Pending = true, false
		}
	}
	for i := len(r.Tokens) - 1; i >= 0 && len(r.Tokens) > mostTokens; i-- {
		if h := r.Tokens[i]; h.Over && !h.owes() && h.ID != t.ID {
			r.Tokens = slices.Delete(r.Tokens, i, i+1)
		}
	}
	return r
}

// drop forgets a token that nothing was ever paid with.
func (r Record) drop(id string) Record {
	r.Tokens = slices.DeleteFunc(slices.Clone(r.Tokens), func(h Held) bool { return h.ID == id })
	return r
}

// due is when the store is to be told something, or asked about what is not paid yet.
func (r Record) due(now time.Time) time.Time {
	var at time.Time
	for _, h := range r.Tokens {
		switch {
		case h.Pending:
			at = soonest(at, now.Add(pendingLate))
		case h.owes():
			at = soonest(at, h.Due)
		case r.Owner == "" && !h.By.IsZero() && !h.Alarmed:
			at = soonest(at, h.By.Add(-finishAlarm)) // nobody came for it
		}
	}
	return at
}

// current is the token by which the line is asked about, the zero one where it has none.
func (r Record) current() Token {
	for _, h := range r.Tokens {
		if !h.Over && !h.Pending {
			return h.token()
		}
	}
	if len(r.Tokens) > 0 {
		return r.Tokens[0].token()
	}
	return Token{}
}

// learn takes over what the store says is still to be told to it. What it said before it
// was told is no news. It reports whether there is something new to tell.
func (r Record) learn(t Token, asOf time.Time, granted bool, consume []string, all bool, now time.Time) (Record, bool) {
	r.Tokens = slices.Clone(r.Tokens)
	at := slices.IndexFunc(r.Tokens, func(h Held) bool { return h.ID == t.ID })
	if at < 0 || !asOf.After(r.Tokens[at].Settled) {
		return r, false
	}
	h := &r.Tokens[at]
	before := h.owes()
	h.Account = cmp.Or(h.Account, t.Account) // the store may say it no more
	if h.By = t.By; !t.Unacknowledged {
		h.By, h.Alarmed = time.Time{}, false
	}
	h.Consume = consume
	// To consume is to acknowledge.
	h.Acknowledge = granted && t.Unacknowledged && !all
	switch {
	case !h.owes():
		h.Tries, h.Due = 0, time.Time{}
	case !before:
		h.Due = now.Add(finishSoon)
	}
	return r, h.owes() && !before
}

// mostHops bounds how far a chain is walked back.
const mostHops = 10

// trace walks the chain of a token back to one that our book knows, so that whose place it
// took is known; and where nobody owns that, further, to one that names a customer. One that
// the store knows no more ends the chain: what was before it nobody can find out.
func (b *Book) trace(ctx context.Context, scope table.Scope, store Store, news News) (News, error) {
	if news.Token == nil || news.Token.Older == nil || len(news.Sales) == 0 {
		return news, nil
	}
	f, ok := store.(Follower)
	if !ok {
		return News{}, fmt.Errorf("purchase: bug in store %s: it has tokens and cannot be asked", news.Sales[0].Store)
	}
	// A chain of its own, for what is asked may be shared.
	chain, seen := *news.Token, map[string]bool{news.Token.ID: true}
	news.Token = &chain
	at := &chain
	for range mostHops {
		if at.Older == nil || seen[at.Older.ID] {
			break
		}
		older := *at.Older
		older.Older, seen[older.ID] = nil, true
		at.Older = &older
		at = &older
		known, owned, err := b.met(ctx, scope, news.Sales[0].Store, older.ID)
		if err != nil {
			return News{}, err
		}
		// What nobody came for yet may be for somebody whom it alone names.
		if known && (owned || news.Sales[0].Account != "") {
			return news, nil
		}
		before, _, err := f.Follow(ctx, Line{Line: older.ID, Token: older})
		if errors.Is(err, fault.NotFound) || errors.Is(err, fault.Invalid) {
			return news, nil
		}
		if err != nil {
			return News{}, err
		}
		if len(before.Sales) == 0 || before.Token == nil {
			return news, nil
		}
		if news.Sales[0].Account == "" {
			// Whoever had it before has it still.
			news.Sales = slices.Clone(news.Sales)
			news.Sales[0].Account = before.Sales[0].Account
		}
		older.Older = before.Token.Older
	}
	at.Older = nil // a cycle, or too long a chain
	return news, nil
}

// met says whether our book knows a token, and whether somebody owns its line.
func (b *Book) met(ctx context.Context, scope table.Scope, store, token string) (known, owned bool, err error) {
	for range 2 {
		item, err := b.Tables.Get(ctx, recordKey(scope, store, token))
		if errors.Is(err, fault.NotFound) {
			return known, false, nil
		}
		if err != nil {
			return false, false, fmt.Errorf("purchase: token: %w", err)
		}
		r, err := decodeRecord(item)
		if err != nil {
			return false, false, err
		}
		if known = true; r.Root == "" {
			return true, r.Owner != "", nil
		}
		token = r.Root
	}
	return known, false, nil
}

// locate finds the line that a token belongs to: that of the nearest of its chain that our
// book knows, else that of the oldest.
func (b *Book) locate(ctx context.Context, now *state, news News) error {
	store := news.Sales[0].Store
	var ids []string
	var keys []table.Key
	for t := news.Token; t != nil; t = t.Older {
		ids, keys = append(ids, t.ID), append(keys, recordKey(now.scope, store, t.ID))
	}
	items, err := b.Tables.GetAll(ctx, keys)
	if err != nil {
		return fmt.Errorf("purchase: tokens: %w", err)
	}
	found := map[table.Key]table.Item{}
	for _, item := range items {
		found[item.Key] = item
	}
	root := ids[len(ids)-1]
	for i, key := range keys {
		item, ok := found[key]
		if !ok {
			continue
		}
		r, err := decodeRecord(item)
		if err != nil {
			return err
		}
		root = cmp.Or(r.Root, ids[i])
		break
	}
	for i, key := range keys {
		if _, ok := found[key]; ok || ids[i] == root {
			continue
		}
		item, err := encode(table.Item{Key: key}, Record{Store: store, Line: ids[i], Root: root})
		if err != nil {
			return err
		}
		now.pointers = append(now.pointers, item)
	}
	_, now.recorded = found[keys[0]]
	key := recordKey(now.scope, store, root)
	item, ok := found[key]
	if !ok && len(items) > 0 {
		item, err = b.Tables.Get(ctx, key)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return fmt.Errorf("purchase: line: %w", err)
		}
		ok = err == nil
	}
	now.item.Key, now.line.Line = key, root
	if ok {
		now.item = item
		now.line, err = decodeRecord(item)
		return err
	}
	return nil
}

// superseded are the orders of a line that a token of the news may take the place of.
func (r Record) superseded(news News) []Term {
	if news.Token.Older == nil {
		return nil
	}
	older := r.before(*news.Token)
	var terms []Term
	for _, t := range r.Terms {
		if h, known := r.held(t.Token); t.State == Paid && (older[t.Token] || known && h.Over) {
			terms = append(terms, t)
		}
	}
	return terms
}

// finishNow tells a store of what was granted just now. What fails is for Review.
func (b *Book) finishNow(ctx context.Context, scope table.Scope, line table.Key) {
	if err := b.finish(ctx, scope, line); err != nil {
		b.Log.WarnContext(ctx, "A store could not be told of a delivery, and will be told again.", "error", err)
	}
}

// finish tells a store of all that was delivered of a line, and writes down that it was
// told. Done twice it is done once, for the store says so.
func (b *Book) finish(ctx context.Context, scope table.Scope, line table.Key) error {
	item, err := b.Tables.Get(ctx, line)
	if err != nil {
		return fmt.Errorf("purchase: line: %w", err)
	}
	r, err := decodeRecord(item)
	if err != nil {
		return err
	}
	store, err := b.store(scope, r.Store)
	if err != nil {
		return err
	}
	tell, ok := store.(Acknowledger)
	if !ok {
		return fmt.Errorf("purchase: bug: %s is told nothing", r.Store)
	}
	var failed error
	for _, h := range r.Tokens {
		if !h.owes() {
			continue
		}
		told, err := b.tell(ctx, tell, r, h)
		failed = errors.Join(failed, err, b.told(ctx, scope, line, told))
	}
	return failed
}

// tell tells a store what it is owed of a token, and gives the token as it is afterwards.
func (b *Book) tell(ctx context.Context, store Acknowledger, r Record, h Held) (Held, error) {
	// What was sold with it may be forgotten; the line's product is the likeliest then.
	d := Delivery{Token: h.token(), Part: r.first().Part, Account: h.Account}
	for _, t := range r.Terms {
		if t.Token == h.ID {
			d.Part = t.Part
		}
	}
	telling, cancel := clock.LeaveRoom(ctx, answerMargin/2)
	defer cancel()
	var err error
	// What is consumed can be acknowledged no more, where a token sells something else besides.
	if h.Acknowledge {
		if err = store.Acknowledge(telling, d); err == nil {
			h.Acknowledge = false
		}
	}
	for len(h.Consume) > 0 && err == nil {
		consume := d
		consume.Part, consume.Consume = h.Consume[0], true
		if err = store.Acknowledge(telling, consume); err == nil {
			h.Consume = h.Consume[1:]
		}
	}
	now := b.Clock.Now()
	if err == nil {
		h.By, h.Alarmed, h.Tries, h.Due, h.Settled = time.Time{}, false, 0, time.Time{}, now
		return h, nil
	}
	h.Due = now.Add(min(finishSoon<<min(h.Tries, 10), finishLate))
	h.Tries++
	return b.alarm(ctx, r.Store, h, err), err
}

// alarm tells a person once that the store gives the money back soon.
func (b *Book) alarm(ctx context.Context, store string, h Held, cause error) Held {
	if now := b.Clock.Now(); !h.Alarmed && !h.By.IsZero() && !now.Before(h.By.Add(-finishAlarm)) {
		b.Log.ErrorContext(ctx, "A purchase is not acknowledged, and the store gives its money back soon.",
			"alarm", true, "store", store, "by", h.By, "error", cause)
		h.Alarmed = true
	}
	return h
}

// told writes down what a store was told of a token.
func (b *Book) told(ctx context.Context, scope table.Scope, line table.Key, h Held) error {
	for try := range mostTries {
		item, err := b.Tables.Get(ctx, line)
		if err != nil {
			return fmt.Errorf("purchase: line: %w", err)
		}
		r, err := decodeRecord(item)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(r.Tokens, func(o Held) bool { return o.ID == h.ID })
		if at < 0 {
			return nil // forgotten
		}
		now := r.Tokens[at]
		now.Acknowledge, now.Consume, now.By, now.Alarmed, now.Tries, now.Due, now.Settled = h.Acknowledge, h.Consume, h.By, h.Alarmed, h.Tries, h.Due, h.Settled
		r.Tokens[at] = now
		r.CheckAt = r.checkAt(b.Clock.Now(), false)
		if err = b.keep(ctx, scope, item, r); !errors.As(err, new(*table.Conflict)) {
			return err
		}
		if err := b.Clock.Sleep(ctx, pause(try)); err != nil {
			break
		}
	}
	return fault.New(fault.Unavailable, "busy", "Too much happened to this purchase at once.")
}

// keep writes a line over the item that was read.
func (b *Book) keep(ctx context.Context, scope table.Scope, item table.Item, r Record) error {
	item, err := encode(item, r)
	if err != nil {
		return err
	}
	item.Index = r.index(scope)
	return b.Tables.Commit(ctx, table.Put(item))
}
