package apple

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
	"grantline/shared/table"
)

// RevocationBook keeps what Apple's authorities said about chains: one item a chain in the
// table of purchases, under its fingerprint. A function that verifies reads it, and writes
// a chain down that it meets for the first time; Refresh, in a function that runs by the
// clock, asks the authorities. It may be used by several goroutines at once.
type RevocationBook struct {
	Tables table.Tables
	// Roots are the verifier's. Only Refresh needs them: they answer for intermediates.
	Roots []*x509.Certificate
	Clock clock.Clock
	Log   *slog.Logger
	// HTTP asks the authorities for Refresh. It is used without its CheckRedirect: no
	// redirect is followed. Nil is a client with nothing set.
	HTTP *http.Client
}

var _ Revocations = (*RevocationBook)(nil)

const (
	revocationSchema = 1
	// revocationsRefreshed bounds the chains of one Refresh. Apple uses a handful.
	revocationsRefreshed = 50
	// revocationRoom is what must be left of an invocation's time to begin with a chain.
	revocationRoom = 2*answerWithin + 5*time.Second
	// revocationSoonest and revocationLatest bound the time from an answer to the next
	// question.
	revocationSoonest = 10 * time.Minute
	revocationLatest  = 12 * time.Hour
	// revocationPatience bounds the time from a question without an answer to the next.
	revocationPatience = time.Hour
)

// revocationDue writes instants so that they sort, in UTC.
const revocationDue = "2006-01-02T15:04:05Z"

func revocationIndex() string { return table.Default.Key("apple-revocation") }

// revocation is a chain's item.
type revocation struct {
	Leaf               []byte `json:"leaf"`         // DER
	Intermediate       []byte `json:"intermediate"` // DER
	LeafAnswer         answer `json:"leafAnswer"`
	IntermediateAnswer answer `json:"intermediateAnswer"`
	// Failures counts the runs since the last in which both were answered for.
	Failures int `json:"failures,omitempty"`
}

// Standing says what is stored about a chain. One that is not stored is StandingUnknown,
// and is written down, due at once. Errors are fault.Unavailable where the table is out of
// reach.
func (b *RevocationBook) Standing(ctx context.Context, c Chain) (Standing, error) {
	now := b.Clock.Now()
	key := table.Key{Table: table.Purchases, Partition: table.Default.Key("apple-revocation", c.fingerprint())}
	// A replica that is a moment behind does no harm: answers are hours old.
	item, err := b.Tables.Glance(ctx, key)
	switch {
	case errors.Is(err, fault.NotFound):
		return Standing{State: StandingUnknown}, b.begin(ctx, key, c, now)
	case err != nil:
		return Standing{}, fmt.Errorf("apple: revocation: %w", err)
	}
	r, err := decodeRevocation(item)
	if err != nil {
		return Standing{}, err
	}
	return r.standing(c, now), nil
}

// begin writes a chain down. Another that did so first is as good.
func (b *RevocationBook) begin(ctx context.Context, key table.Key, c Chain, now time.Time) error {
	item, err := revocation{Leaf: c.Leaf.Raw, Intermediate: c.Intermediate.Raw}.encode(table.Item{Key: key}, c, now)
	if err != nil {
		return err
	}
	if err := b.Tables.Commit(ctx, table.Inserted(item)); err != nil && !errors.Is(err, fault.Conflict) {
		return fmt.Errorf("apple: revocation: %w", err)
	}
	return nil
}

func decodeRevocation(item table.Item) (revocation, error) {
	var r revocation
	if item.Schema > revocationSchema {
		return r, fmt.Errorf("apple: revocation of schema %d, newer than this code's %d", item.Schema, revocationSchema)
	}
	if err := json.Unmarshal(item.Data, &r); err != nil {
		return r, fmt.Errorf("apple: revocation: %w", err)
	}
	return r, nil
}

// encode makes the item anew, due at an instant; never if that is zero.
func (r revocation) encode(item table.Item, c Chain, due time.Time) (table.Item, error) {
	data, err := json.Marshal(r)
	item.Schema, item.Data, item.Index = revocationSchema, data, nil
	if !due.IsZero() {
		item.Index = &table.Index{Partition: revocationIndex(), Sort: due.UTC().Format(revocationDue), Hint: c.fingerprint()}
	}
	return item, err
}

// standing is the worse of what both answers say at an instant. A certificate that has
// ended is judged by the last answer about it however old, since authorities need not
// speak of it any more (RFC 6960, 4.4.4); what was never answered for stays unknown.
func (r revocation) standing(c Chain, now time.Time) Standing {
	if r.revoked() {
		return Standing{State: StandingRevoked}
	}
	var until time.Time
	for _, about := range []struct {
		certificate *x509.Certificate
		answer      answer
	}{{c.Leaf, r.LeafAnswer}, {c.Intermediate, r.IntermediateAnswer}} {
		if about.answer.Status != StandingGood {
			return Standing{State: StandingUnknown}
		}
		if now.After(about.certificate.NotAfter) {
			continue
		}
		end := about.answer.NextUpdate.Add(answerSkew)
		if !now.Before(end) {
			return Standing{State: StandingUnknown}
		}
		if until.IsZero() || end.Before(until) {
			until = end
		}
	}
	return Standing{State: StandingGood, Until: until}
}

func (r revocation) revoked() bool {
	return r.LeafAnswer.Status == StandingRevoked || r.IntermediateAnswer.Status == StandingRevoked
}

// Refresh asks the authorities about the chains that are due, the longest due first and 50
// at most, and says when to come again: at once where it could not get through, never (the
// zero time) where nothing is stored that may change. What an authority did not answer, or
// not as it should, leaves the stored answer as it is; it is asked again in 10 minutes, then
// less often, down to once an hour. An error means that the table was out of reach or ctx
// ended; whatever was done is done, and Refresh may be called again at any time.
func (b *RevocationBook) Refresh(ctx context.Context) (next time.Time, err error) {
	now := b.Clock.Now()
	page, err := b.Tables.Query(ctx, table.Query{
		Table: table.Purchases, Indexed: true, Partition: revocationIndex(), Limit: revocationsRefreshed + 1,
	})
	if err != nil {
		return now, fmt.Errorf("apple: revocation: %w", err)
	}
	var failed error
	for i, entry := range page.Items {
		due, err := dueOf(entry)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if due.After(now) || i == revocationsRefreshed || !clock.Room(ctx, revocationRoom) {
			next = earlier(next, due) // those behind it are due later still
			break
		}
		again, err := b.refresh(ctx, entry.Key)
		failed = errors.Join(failed, err)
		next = earlier(next, again)
	}
	if failed == nil && ctx.Err() != nil {
		failed = fault.New(fault.Unavailable, CodeUnavailable, "Revocation could not be looked up to the end.").Because(ctx.Err())
	}
	return next, failed
}

func dueOf(i table.Item) (time.Time, error) {
	if i.Index == nil {
		return time.Time{}, nil
	}
	due, err := time.Parse(revocationDue, i.Index.Sort)
	if err != nil {
		return time.Time{}, fmt.Errorf("apple: revocation: %w", err)
	}
	return due, nil
}

// earlier is the first of two instants, either of which may be none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// refresh asks about one chain and says when to do so again, if at all.
func (b *RevocationBook) refresh(ctx context.Context, key table.Key) (time.Time, error) {
	now := b.Clock.Now()
	item, err := b.Tables.Get(ctx, key)
	if err != nil {
		return now, fmt.Errorf("apple: revocation: %w", err)
	}
	// The index may lag behind the item.
	if due, err := dueOf(item); err != nil || due.IsZero() || due.After(now) {
		return due, err
	}
	r, err := decodeRevocation(item)
	if err != nil {
		return now, err
	}
	var c Chain
	if c.Leaf, err = x509.ParseCertificate(r.Leaf); err != nil {
		return now, fmt.Errorf("apple: revocation: %w", err)
	}
	if c.Intermediate, err = x509.ParseCertificate(r.Intermediate); err != nil {
		return now, fmt.Errorf("apple: revocation: %w", err)
	}

	leaf := b.hear(ctx, "leaf", c.Leaf, c.Intermediate, &r.LeafAnswer)
	intermediate := b.hear(ctx, "intermediate", c.Intermediate, b.above(c.Intermediate), &r.IntermediateAnswer)
	if err := ctx.Err(); err != nil {
		// It was we who hung up.
		return now, fault.New(fault.Unavailable, CodeUnavailable, "Revocation could not be looked up to the end.").Because(err)
	}
	if r.Failures++; leaf && intermediate {
		r.Failures = 0
	}
	now = b.Clock.Now()
	due := r.next(c, now)
	if item, err = r.encode(item, c, due); err != nil {
		return now, err
	}
	switch err := b.Tables.Commit(ctx, table.Replaced(item)); {
	case errors.Is(err, fault.Conflict): // another run was here
		return now, nil
	case err != nil:
		return now, fmt.Errorf("apple: revocation: %w", err)
	}
	return due, nil
}

// above is the root over an intermediate; nil if it is none of ours any more.
func (b *RevocationBook) above(intermediate *x509.Certificate) *x509.Certificate {
	for _, root := range b.Roots {
		if intermediate.CheckSignatureFrom(root) == nil {
			return root
		}
	}
	return nil
}

// settled says that there is nothing more to hear about a certificate.
func (a answer) settled(certificate *x509.Certificate, now time.Time) bool {
	return a.Status == StandingRevoked || a.Status == StandingGood && now.After(certificate.NotAfter)
}

// hear asks about one certificate and keeps the answer, unless it is older than what is
// kept. It says whether all is known that can be.
func (b *RevocationBook) hear(ctx context.Context, which string, certificate, issuer *x509.Certificate, kept *answer) bool {
	if kept.settled(certificate, b.Clock.Now()) {
		return true
	}
	about := []any{"certificate", which, "serial", certificate.SerialNumber.String()}
	if issuer == nil {
		b.Log.WarnContext(ctx, "no root of ours is above a chain that was believed once", about...)
		return false
	}
	client := http.Client{}
	if b.HTTP != nil {
		client = *b.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	said, err := ask(ctx, &client, b.Clock.Now, certificate, issuer)
	if err != nil {
		b.Log.WarnContext(ctx, "an authority gives no answer about a certificate", append(about, "error", err.Error())...)
		return false
	}
	switch {
	case said.Status == StandingRevoked:
		// Before it is written down: a repetition does less harm than silence.
		b.Log.ErrorContext(ctx, "Apple revoked a certificate: what it signed is refused from now on",
			append(about, "alarm", true, "revokedAt", said.RevokedAt)...)
		*kept = said
	case said.ThisUpdate.Before(kept.ThisUpdate):
	default:
		*kept = said
	}
	return kept.Status != StandingUnknown
}

// next is when to ask again; zero if nothing can change.
func (r revocation) next(c Chain, now time.Time) time.Time {
	leaf, intermediate := r.LeafAnswer.settled(c.Leaf, now), r.IntermediateAnswer.settled(c.Intermediate, now)
	if r.revoked() || leaf && intermediate {
		return time.Time{}
	}
	pause := revocationLatest
	for _, about := range []struct {
		settled bool
		answer  answer
	}{{leaf, r.LeafAnswer}, {intermediate, r.IntermediateAnswer}} {
		if !about.settled && about.answer.Status == StandingGood {
			pause = min(pause, max(about.answer.NextUpdate.Sub(now)/2, revocationSoonest))
		}
	}
	if r.Failures > 0 {
		patience := revocationSoonest << min(r.Failures-1, 10)
		if now.After(c.Leaf.NotAfter) {
			// Tokens under it become rare, and its authority may never speak of it again.
			patience = min(patience, revocationLatest)
		} else {
			patience = min(patience, revocationPatience)
		}
		pause = min(pause, patience)
	}
	return now.Add(pause)
}
