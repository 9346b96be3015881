package web

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"grantline/shared/customer"
	"grantline/shared/fault"
	"grantline/shared/wallet"
)

// walletRoutes are what follows a customer's id: of a wallet, from the right.
var walletRoutes = regexp.MustCompile(`^(?s:(.*))/wallet/([^/]*)/(spend|refund|credit|ledger)$`)

// walletRoute finds what is asked of a wallet; nil where nothing is.
func (a *API) walletRoute(rest string) handler {
	found := walletRoutes.FindStringSubmatch(rest)
	if found == nil {
		return nil
	}
	id, currency := found[1], found[2]
	switch found[3] {
	case "spend":
		return only(http.MethodPost, a.ofCustomer(id, a.spend(currency)))
	case "refund":
		return only(http.MethodPost, a.ofServer(id, a.unspend(currency)))
	case "credit":
		return only(http.MethodPost, a.ofServer(id, a.credit(currency)))
	}
	return only(http.MethodGet, a.ofCustomer(id, a.ledger(currency)))
}

type customerHandler = func(http.ResponseWriter, *http.Request, Caller, string) error

// movedView is the answer to whatever moves a wallet: what was done under the reference, then or
// now, and the wallet as it is.
type movedView struct {
	Spend  *spendView            `json:"spend,omitzero"`
	Refund *movementView         `json:"refund,omitzero"` // of Spend
	Credit *movementView         `json:"credit,omitzero"`
	Wallet map[string]walletView `json:"wallet"`
}

type spendView struct {
	Reference string     `json:"reference"`
	Amount    int64      `json:"amount"`
	Refunded  int64      `json:"refunded"` // of Amount
	At        *time.Time `json:"at"`
}

type movementView struct {
	Reference string     `json:"reference"`
	Amount    int64      `json:"amount"`
	At        *time.Time `json:"at"`
}

func spendOf(s customer.Spend) *spendView {
	return &spendView{s.Reference, s.Amount, s.Refunded, instant(s.At)}
}

func (a *API) showWallet(w http.ResponseWriter, c *customer.Customer, currency string, v movedView) error {
	v.Wallet = map[string]walletView{currency: walletOf(c.Wallets()[currency], a.Clock.Now())}
	return answer(w, http.StatusOK, v)
}

func walletOf(w wallet.Wallet, now time.Time) walletView {
	v := walletView{Balance: w.Balance(now), Debt: w.Debt, Lots: []lotView{}}
	for _, l := range w.Lots {
		if l.ExpiresAt != nil && !now.Before(*l.ExpiresAt) {
			continue // it is over, and booked with the next change
		}
		v.Lots = append(v.Lots, lotView{l.OrderID, string(l.Kind), l.Remaining, l.ExpiresAt})
	}
	return v
}

// spend is POST /v1/customers/{id}/wallet/{currency}/spend.
func (a *API) spend(currency string) customerHandler {
	return func(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
		if caller.Role == App {
			return needsSignIn()
		}
		var q struct {
			Amount    int64  `json:"amount"`
			Reference string `json:"reference"`
		}
		if err := read(r, &q); err != nil {
			return err
		}
		ask := customer.SpendAsk{Currency: currency, Amount: q.Amount, Reference: q.Reference, By: "customer", Abuse: a.Abuse}
		if caller.Role == Server {
			ask.By = "server"
		}
		spent, c, err := a.Customers.Spend(r.Context(), caller.Scope, id, ask, a.Clock)
		if err != nil {
			return err
		}
		return a.showWallet(w, c, currency, movedView{Spend: spendOf(spent)})
	}
}

// unspend is POST /v1/customers/{id}/wallet/{currency}/refund.
func (a *API) unspend(currency string) customerHandler {
	return func(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
		var q struct {
			Spend     string `json:"spend"`
			Amount    *int64 `json:"amount"`
			Reference string `json:"reference"`
			Reason    string `json:"reason"` // for the journal
		}
		if err := read(r, &q); err != nil {
			return err
		}
		ask := customer.UnspendAsk{Currency: currency, Spend: q.Spend, Reference: q.Reference}
		if q.Amount != nil {
			if ask.Amount = *q.Amount; ask.Amount < 1 {
				return fault.New(fault.Malformed, "invalid_request", "amount should be 1 to %d.", wallet.MostAmount)
			}
		}
		refund, of, c, err := a.Customers.Unspend(r.Context(), caller.Scope, id, ask, a.Clock)
		if err != nil {
			return err
		}
		return a.showWallet(w, c, currency, movedView{Spend: spendOf(of), Refund: &movementView{refund.Reference, refund.Amount, instant(refund.At)}})
	}
}

// credit is POST /v1/customers/{id}/wallet/{currency}/credit.
func (a *API) credit(currency string) customerHandler {
	return func(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
		var q struct {
			Amount    int64      `json:"amount"`
			Reference string     `json:"reference"`
			ExpiresAt *time.Time `json:"expiresAt"`
			Reason    string     `json:"reason"`
		}
		if err := read(r, &q); err != nil {
			return err
		}
		ask := customer.CreditAsk{Currency: currency, Amount: q.Amount, Reference: q.Reference, ExpiresAt: q.ExpiresAt, Reason: q.Reason}
		given, c, err := a.Customers.Credit(r.Context(), caller.Scope, id, ask, a.Clock)
		if err != nil {
			return err
		}
		return a.showWallet(w, c, currency, movedView{Credit: &movementView{given.Reference, given.Amount, instant(given.At)}})
	}
}

type lineView struct {
	Sequence  int64            `json:"sequence"`
	At        *time.Time       `json:"at"`
	Kind      wallet.EntryKind `json:"kind"`
	Amount    int64            `json:"amount"`
	Balance   int64            `json:"balance"`
	Debt      int64            `json:"debt,omitzero"`
	OrderID   string           `json:"orderId,omitzero"`
	Reference string           `json:"reference,omitzero"`
	Spend     string           `json:"spend,omitzero"`
	Lots      []movedLotView   `json:"lots"`
}

type movedLotView struct {
	OrderID string      `json:"orderId"`
	Kind    wallet.Kind `json:"kind"`
	Amount  int64       `json:"amount"`
}

// ledger is GET /v1/customers/{id}/wallet/{currency}/ledger?after=.
func (a *API) ledger(currency string) customerHandler {
	return func(w http.ResponseWriter, r *http.Request, caller Caller, id string) error {
		if caller.Role == App {
			return needsSignIn()
		}
		after, err := readAfter(r)
		if err != nil {
			return err
		}
		lines, next, err := a.Customers.Ledger(r.Context(), caller.Scope, id, currency, after)
		if err != nil {
			return err
		}
		page := struct {
			Entries []lineView `json:"entries"`
			Next    int64      `json:"next,omitzero"`
		}{[]lineView{}, next}
		for _, l := range lines {
			v := lineView{l.Sequence, instant(l.At), l.Entry.Kind, l.Entry.Amount, l.Entry.Balance, l.Entry.Debt, l.OrderID, l.Reference, l.Spend, []movedLotView{}}
			for _, p := range l.Entry.Parts {
				v.Lots = append(v.Lots, movedLotView{p.Lot.OrderID, p.Lot.Kind, p.Amount})
			}
			page.Entries = append(page.Entries, v)
		}
		return answer(w, http.StatusOK, page)
	}
}

// readAfter is the number of the last event that was seen, 0 where the query says nothing.
func readAfter(r *http.Request) (int64, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, fault.New(fault.Malformed, "invalid_request", "The query cannot be read.")
	}
	text := query.Get("after")
	if text == "" {
		return 0, nil
	}
	after, err := strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 || after > 1e12-2 {
		return 0, fault.New(fault.Malformed, "invalid_request", "after should be the number of the last event that was seen.")
	}
	return after, nil
}
