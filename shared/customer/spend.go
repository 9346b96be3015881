package customer

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grantline/shared/abuse"
	"grantline/shared/clock"
	"grantline/shared/event"
	"grantline/shared/fault"
	"grantline/shared/table"
	"grantline/shared/wallet"
)

// SpendAsk is what somebody asks to spend.
type SpendAsk struct {
	Currency  string // of the wallet
	Amount    int64  // 1 to wallet.MostAmount
	Reference string // the company's name of the spend, see ValidReference; the same again is the same spend
	// By is who asks, "customer" or "server": what a customer spent under a name that it guessed
	// is not what the company means by that name.
	By string
	// Abuse is the project's policy: whether spending is blocked is assessed now, not read.
	Abuse abuse.Policy
}

// Spend is what was spent under a reference, and what of it was given back.
type Spend struct {
	Currency  string    `json:"currency"`
	Reference string    `json:"reference"`
	Amount    int64     `json:"amount"`
	Refunded  int64     `json:"refunded"` // of Amount
	At        time.Time `json:"at"`
	By        string    `json:"by,omitempty"` // as SpendAsk.By
	// Parts are the lots that it took from, in order.
	Parts []wallet.Part `json:"parts"`
}

// UnspendAsk is what somebody asks to give back of a spend.
type UnspendAsk struct {
	Currency  string
	Spend     string // its reference
	Amount    int64  // 1 to what is left of the spend; 0: all that is left
	Reference string // of this refund; the same again is the same refund
}

// SpendRefund is what was given back of a spend under a reference.
type SpendRefund struct {
	Currency  string    `json:"currency"`
	Reference string    `json:"reference"`
	Spend     string    `json:"spend"` // its reference
	Amount    int64     `json:"amount"`
	All       bool      `json:"all,omitempty"` // what was asked for is all that was left
	At        time.Time `json:"at"`
}

// CreditAsk is what the company gives of its own.
type CreditAsk struct {
	Currency  string
	Amount    int64      // 1 to wallet.MostAmount
	Reference string     // the same again is the same credit
	ExpiresAt *time.Time // nil: never
	Reason    string     // a person's words, 1 to 500 characters, told with the event as its cause
}

// Credit is what the company gave under a reference.
type Credit struct {
	Currency  string     `json:"currency"`
	Reference string     `json:"reference"`
	Amount    int64      `json:"amount"`
	ExpiresAt *time.Time `json:"expiresAt"`
	At        time.Time  `json:"at"`
}

// What was done under a reference is an item beside the wallet: a reference means one thing
// among spends, one among refunds of spends, and one among credits of a currency.
const (
	spendSort   = "spend#"
	unspendSort = "unspend#"
	creditSort  = "credit#"
	creditOrder = "credit_" // begins the name of a credit's lot
)

// Bounds of one change of a wallet. Each conflict means that somebody else's change was
// made, so that as many as mostWalletTries at once all come to their turn.
const (
	mostWalletTries = 200
	mostLost        = 3 // answers, before it is given up
	mostReason      = 500
)

var currencies = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$`)

// ValidReference says whether a text can name a spend, a refund of one or a credit: 1 to 128
// printable characters, not beginning or ending with a space.
func ValidReference(reference string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
	if n := utf8.RuneCountInString(reference); n < 1 || n > 128 || strings.ContainsFunc(reference, bad) || strings.TrimSpace(reference) != reference {
		return malformed("reference should be 1 to 128 printable characters.")
	}
	return nil
}

func malformed(detail string, args ...any) error {
	return fault.New(fault.Malformed, "invalid_request", detail, args...)
}

func validAmount(amount int64) error {
	if amount < 1 || amount > wallet.MostAmount {
		return malformed("amount should be 1 to %d.", wallet.MostAmount)
	}
	return nil
}

func validCurrency(currency string) error {
	if !currencies.MatchString(currency) {
		return malformed("A wallet's currency should be 1 to 100 letters, digits, and . _ : -")
	}
	return nil
}

func referenceUsed(what string) error {
	return fault.New(fault.Conflict, "reference_used", "Another %s has this reference.", what)
}

// Spend takes currency out of a customer's wallet, once for each reference: asked for again
// it answers with what was spent then, whatever the wallet holds by now. Errors:
// fault.Malformed; fault.Conflict, reference_used, where the reference stands for another
// amount; fault.Denied, spending_blocked, where the project's policy says so; fault.Invalid,
// wallet_in_debt or insufficient_balance; fault.Unavailable, after which it may or may not
// have happened.
func (d Directory) Spend(ctx context.Context, scope table.Scope, id string, ask SpendAsk, now clock.Clock) (Spend, *Customer, error) {
	if err := errors.Join(validCurrency(ask.Currency), validAmount(ask.Amount), ValidReference(ask.Reference)); err != nil {
		return Spend{}, nil, err
	}
	var spent Spend
	sort := spendSort + ask.Currency + "#" + ask.Reference
	c, err := d.once(ctx, scope, id, now, []string{sort}, func(c *Customer, known []table.Item, now time.Time) (bool, error) {
		if len(known) > 0 {
			var err error
			mine := func(s Spend) bool { return s.Amount == ask.Amount && s.By == ask.By }
			spent, _, err = spendOf(known, mine)
			if err == nil && !mine(spent) {
				err = referenceUsed("spend")
			}
			return true, err
		}
		if c.restricted(ask.Abuse, abuse.BlockSpending, now) {
			return false, fault.New(fault.Denied, "spending_blocked", "This customer may not spend.")
		}
		c.ExpireLots(ask.Currency, now)
		w, e, err := c.wallets[ask.Currency].Spend(ask.Amount, now)
		if err != nil {
			return false, err
		}
		spent = Spend{Currency: ask.Currency, Reference: ask.Reference, Amount: ask.Amount, At: now, By: ask.By, Parts: e.Parts}
		c.SetWallet(ask.Currency, w, e)
		balance := w.Balance(now)
		c.Tell(event.Event{
			Type: event.WalletSpent, At: now, WalletCurrency: ask.Currency, Credited: e.Amount, Balance: &balance, Reference: ask.Reference,
		})
		return false, c.keep(table.Item{Key: c.key(sort)}, spent)
	})
	if err != nil {
		return Spend{}, nil, err
	}
	return spent, c, nil
}

// Unspend gives back what was spent, whole or in part, once for each reference: to the debt
// first, and then to the lots that it came from. Errors: fault.Malformed; fault.NotFound,
// spend_not_found; fault.Conflict, reference_used, where the reference stands for another
// refund; fault.Invalid, refund_exceeds_spend; fault.Unavailable, after which it may or may
// not have happened.
func (d Directory) Unspend(ctx context.Context, scope table.Scope, id string, ask UnspendAsk, now clock.Clock) (SpendRefund, Spend, *Customer, error) {
	err := errors.Join(validCurrency(ask.Currency), ValidReference(ask.Spend), ValidReference(ask.Reference))
	if err == nil && ask.Amount != 0 {
		err = validAmount(ask.Amount)
	}
	if err != nil {
		return SpendRefund{}, Spend{}, nil, err
	}
	var refund SpendRefund
	var spent Spend
	of, sort := spendSort+ask.Currency+"#"+ask.Spend, unspendSort+ask.Currency+"#"+ask.Reference
	c, err := d.once(ctx, scope, id, now, []string{sort, of}, func(c *Customer, known []table.Item, now time.Time) (bool, error) {
		isSpend := func(i table.Item) bool { return i.Key.Sort == of }
		spends := slices.DeleteFunc(slices.Clone(known), func(i table.Item) bool { return !isSpend(i) })
		refunds := slices.DeleteFunc(known, isSpend)
		var item table.Item
		var err error
		if len(spends) > 0 {
			fits := func(s Spend) bool { return s.Amount-s.Refunded >= max(ask.Amount, 1) }
			if spent, item, err = spendOf(spends, fits); err != nil {
				return false, err
			}
		}
		if len(refunds) > 0 {
			return true, ask.repeats(refunds, &refund)
		}
		if len(spends) == 0 {
			return false, fault.New(fault.NotFound, "spend_not_found", "There is no spend with this reference.")
		}
		refund = SpendRefund{Currency: ask.Currency, Reference: ask.Reference, Spend: ask.Spend, Amount: ask.Amount, All: ask.Amount == 0, At: now}
		if refund.All {
			if refund.Amount = spent.Amount - spent.Refunded; refund.Amount == 0 {
				return false, fault.New(fault.Invalid, "refund_exceeds_spend", "Nothing is left of the spend.")
			}
		}
		c.ExpireLots(ask.Currency, now)
		w, e, err := c.wallets[ask.Currency].Unspend(spent.Parts, spent.Refunded, refund.Amount)
		if err != nil {
			return false, err
		}
		spent.Refunded += refund.Amount
		c.SetWallet(ask.Currency, w, e)
		balance := w.Balance(now)
		c.Tell(event.Event{
			Type: event.WalletSpendRefunded, At: now, WalletCurrency: ask.Currency, Credited: e.Amount, Balance: &balance,
			Reference: ask.Reference, OtherReference: ask.Spend,
		})
		// A lot whose time is over came back only to be over.
		c.ExpireLots(ask.Currency, now)
		return false, errors.Join(c.keep(item, spent), c.keep(table.Item{Key: c.key(sort)}, refund))
	})
	if err != nil {
		return SpendRefund{}, Spend{}, nil, err
	}
	return refund, spent, c, nil
}

// repeats finds the refund that this asks for once more.
func (ask UnspendAsk) repeats(known []table.Item, refund *SpendRefund) error {
	for _, item := range known {
		*refund = SpendRefund{}
		if err := decode(item, refund); err != nil {
			return err
		}
		if refund.Spend == ask.Spend && (refund.Amount == ask.Amount || refund.All && ask.Amount == 0) {
			return nil
		}
	}
	return referenceUsed("refund")
}

// Credit gives free currency by the company's own word, once for each reference. Its lot has
// the name "credit_" and the reference. Who was never here comes to be. Errors:
// fault.Malformed; fault.Conflict, reference_used where the reference stands for another
// amount or end, and too_many_lots; fault.Invalid, credit_over, where it would be over at
// once; fault.Unavailable, after which it may or may not have happened.
func (d Directory) Credit(ctx context.Context, scope table.Scope, id string, ask CreditAsk, now clock.Clock) (Credit, *Customer, error) {
	if err := errors.Join(validCurrency(ask.Currency), validAmount(ask.Amount), ValidReference(ask.Reference), validReason(ask.Reason)); err != nil {
		return Credit{}, nil, err
	}
	if ask.ExpiresAt != nil {
		end := ask.ExpiresAt.UTC()
		if ask.ExpiresAt = &end; end.Year() > 9999 { // which RFC 3339 cannot write
			return Credit{}, nil, malformed("expiresAt should be before the year 10000.")
		}
	}
	cause := event.Cause{Kind: event.ByRequest}
	if known := event.CauseOf(ctx); known != nil {
		cause = *known
	}
	cause.Reason = ask.Reason
	var credit Credit
	sort := creditSort + ask.Currency + "#" + ask.Reference
	c, err := d.once(event.Because(ctx, cause), scope, id, now, []string{sort}, func(c *Customer, known []table.Item, now time.Time) (bool, error) {
		if len(known) > 0 {
			return true, ask.repeats(known, &credit)
		}
		if ask.ExpiresAt != nil && !now.Before(*ask.ExpiresAt) {
			return false, fault.New(fault.Invalid, "credit_over", "expiresAt should be in the future.")
		}
		c.ExpireLots(ask.Currency, now)
		if len(c.wallets[ask.Currency].Lots) >= wallet.MostLots {
			return false, fault.New(fault.Conflict, "too_many_lots", "A wallet that is credited has less than %d open lots.", wallet.MostLots)
		}
		w, e := c.wallets[ask.Currency].Credit(wallet.Lot{
			OrderID: creditOrder + ask.Reference, Kind: wallet.Free, Granted: ask.Amount, ExpiresAt: ask.ExpiresAt, CameAt: now,
		})
		credit = Credit{Currency: ask.Currency, Reference: ask.Reference, Amount: ask.Amount, ExpiresAt: ask.ExpiresAt, At: now}
		c.SetWallet(ask.Currency, w, e)
		balance := w.Balance(now)
		c.Tell(event.Event{
			Type: event.WalletCredited, At: now, WalletCurrency: ask.Currency, Credited: e.Amount, Balance: &balance,
			Reference: ask.Reference, ExpiresAt: ask.ExpiresAt,
		})
		return false, c.keep(table.Item{Key: c.key(sort)}, credit)
	})
	if err != nil {
		return Credit{}, nil, err
	}
	return credit, c, nil
}

func validReason(reason string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
	if n := utf8.RuneCountInString(reason); n < 1 || n > mostReason || strings.ContainsFunc(reason, bad) {
		return malformed("reason should be 1 to %d printable characters.", mostReason)
	}
	return nil
}

// repeats finds the credit that this asks for once more.
func (ask CreditAsk) repeats(known []table.Item, credit *Credit) error {
	for _, item := range known {
		*credit = Credit{}
		if err := decode(item, credit); err != nil {
			return err
		}
		sameEnd := credit.ExpiresAt == nil && ask.ExpiresAt == nil ||
			credit.ExpiresAt != nil && ask.ExpiresAt != nil && credit.ExpiresAt.Equal(*ask.ExpiresAt)
		if credit.Amount == ask.Amount && sameEnd {
			return nil
		}
	}
	return referenceUsed("credit")
}

// spendOf is the first of some spends with one reference that is wanted, else the first.
func spendOf(known []table.Item, wanted func(Spend) bool) (Spend, table.Item, error) {
	spends := make([]Spend, len(known))
	for n, item := range known {
		if err := decode(item, &spends[n]); err != nil {
			return Spend{}, table.Item{}, err
		}
	}
	n := max(slices.IndexFunc(spends, wanted), 0)
	return spends[n], known[n], nil
}

// key names an item of the customer's.
func (c *Customer) key(sort string) table.Key {
	return table.Key{Table: table.Customers, Partition: c.scope.Key(c.Ref), Sort: sort}
}

// keep writes a value into an item along with the customer.
func (c *Customer) keep(item table.Item, value any) error {
	data, err := marshal(value)
	item.Schema, item.Data = schema, data
	c.besides = append(c.besides, table.Put(item))
	return err
}

// once does what act decides, in one transaction with all that it told of, and begins anew
// while other writes come between. Act gets what is kept under the sort keys for the
// customer, and then for each who was merged into it; it says whether it was done before. A
// lost answer is found out by looking again.
func (d Directory) once(ctx context.Context, scope table.Scope, id string, clk clock.Clock, sorts []string, act func(*Customer, []table.Item, time.Time) (bool, error)) (*Customer, error) {
	lost := 0
	for try := range mostWalletTries {
		now := clk.Now()
		c, done, err := d.decide(ctx, scope, id, now, sorts, act)
		if err == nil && done {
			// It may have been done after the customer was read, and before the references were.
			return d.Named(ctx, scope, id)
		}
		decided := err == nil
		if decided {
			if err = d.commit(ctx, c, now); err == nil {
				return c, nil
			}
		}
		switch {
		case decided && errors.As(err, new(*table.Conflict)):
		case (decided || lost > 0) && errors.Is(err, fault.Unavailable) && lost < mostLost:
			lost++
		default:
			return nil, err
		}
		if slept := clk.Sleep(ctx, walletPause(try, sorts[0])); slept != nil {
			return nil, busy().Because(errors.Join(err, slept))
		}
	}
	return nil, busy()
}

func busy() *fault.Error {
	return fault.New(fault.Unavailable, "busy", "Too much happened to this customer at once; ask again.")
}

func (d Directory) commit(ctx context.Context, c *Customer, now time.Time) error {
	writes, err := c.Writes(now)
	if err != nil {
		return err
	}
	return d.Tables.Commit(ctx, writes...)
}

// decide is one try of once, up to the write.
func (d Directory) decide(ctx context.Context, scope table.Scope, id string, now time.Time, sorts []string, act func(*Customer, []table.Item, time.Time) (bool, error)) (*Customer, bool, error) {
	c, err := d.Named(ctx, scope, id)
	if err != nil {
		return nil, false, err
	}
	var known []table.Item
	if c.Exists() {
		var keys []table.Key
		for _, ref := range append([]string{c.Ref}, c.head.Merged...) {
			for _, sort := range sorts {
				keys = append(keys, table.Key{Table: table.Customers, Partition: scope.Key(ref), Sort: sort})
			}
		}
		if known, err = d.Tables.GetAll(ctx, keys); err != nil {
			return nil, false, fmt.Errorf("customer: references: %w", err)
		}
	}
	done, err := act(c, known, now)
	return c, done, err
}

// walletPause is before another try: longer with each, and another for each reference, so
// that those who met do not meet again.
func walletPause(try int, reference string) time.Duration {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%d %s", try, reference) // never fails
	most := 20 * time.Millisecond << min(try, 5)
	return most/2 + time.Duration(h.Sum32())%most
}
