package toss

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"grantline/infra/sim/stage"
)

// A statement has at most so many rows, and so many unless asked (Toss Payments, query of
// transactions).
const (
	mostRows  = 5000
	usualRows = 100
)

// Transaction is Toss Payments' own object of that name: an approval, or a cancel of it.
type Transaction struct {
	MID            string         `json:"mId"`
	TransactionKey string         `json:"transactionKey"`
	PaymentKey     string         `json:"paymentKey"`
	OrderID        string         `json:"orderId"`
	Method         string         `json:"method"`
	CustomerKey    string         `json:"customerKey"`
	UseEscrow      bool           `json:"useEscrow"`
	ReceiptURL     string         `json:"receiptUrl"`
	Status         string         `json:"status"` // of the payment, just after this
	TransactionAt  string         `json:"transactionAt"`
	Currency       string         `json:"currency"`
	Amount         int64          `json:"amount"`
	Added          map[string]any `json:"addedWithoutAVersion"`
}

// row is a transaction in the books.
type row struct {
	Transaction

	at, noted time.Time
	returns   bool
}

// book enters what happened to a payment. The caller holds mu.
func (s *Simulator) book(shop *shop, p *Payment, transaction string, amount int64, returns bool, at time.Time) {
	var receipt string
	if p.Receipt != nil {
		receipt = p.Receipt.URL
	}
	shop.rows = append(shop.rows, row{
		Transaction: Transaction{
			MID: p.MID, TransactionKey: transaction, PaymentKey: p.PaymentKey, OrderID: p.OrderID, Method: p.Method,
			CustomerKey: p.customerKey, ReceiptURL: receipt, Status: p.Status, TransactionAt: at.In(seoul).Format(time.RFC3339),
			Currency: p.Currency, Amount: amount, Added: map[string]any{"kind": "simulated"},
		},
		at: at.Truncate(time.Second), noted: s.stage.Now(), returns: returns,
	})
}

// period reads the bounds of a statement, both included: Korean time without a zone.
func period(given url.Values) (from, to time.Time, ok bool) {
	bounds := make([]time.Time, 0, 2)
	for _, name := range []string{"startDate", "endDate"} {
		at, err := time.ParseInLocation("2006-01-02T15:04:05", given.Get(name), seoul) // a fraction is read, too
		if err != nil {
			return from, to, false
		}
		bounds = append(bounds, at)
	}
	return bounds[0], bounds[1], !bounds[1].Before(bounds[0])
}

// transactions is the statement of a period, oldest first. What happened a moment ago is
// not in it yet.
func (s *Simulator) transactions(q *query) stage.Answer {
	given := q.URL.Query()
	from, to, ok := period(given)
	if !ok {
		return q.refuse("INVALID_REQUEST")
	}
	limit := usualRows
	if text := given.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostRows {
			return q.refuse("INVALID_REQUEST")
		}
		limit = n
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	horizon := s.stage.Now().Add(-time.Duration(*s.settings.TransactionLag))
	found := []row{}
	for _, r := range q.shop.rows {
		if !r.at.Before(from) && !r.at.After(to) && !r.noted.After(horizon) {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b row) int { return a.at.Compare(b.at) })
	if after := given.Get("startingAfter"); after != "" {
		i := slices.IndexFunc(found, func(r row) bool { return r.TransactionKey == after })
		if i < 0 {
			return q.refuse("INVALID_TRANSACTION_KEY")
		}
		found = found[i+1:]
	}
	shown := []Transaction{}
	for _, r := range found[:min(limit, len(found))] {
		if r.returns && *s.settings.CancelRows == "negative" {
			r.Amount = -r.Amount
		}
		shown = append(shown, r.Transaction)
	}
	return stage.JSON(http.StatusOK, shown)
}
