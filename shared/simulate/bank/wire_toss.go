package bank

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"grantline/shared/billing"
	"grantline/shared/toss"
)

// korea is the zone of Toss's dates.
var korea = time.FixedZone("KST", 9*60*60)

// Wire is the real adapter, with this Toss at the other end of its connections: whoever asks it
// has the same answers as who asks Toss here, after the same crossings, at more cost.
func (t *Toss) Wire(log *slog.Logger) *toss.Gateway {
	g, err := toss.New(toss.Config{
		URL: "https://toss.invalid", Timeout: never, Log: log, Transport: wire(t.serve),
		SecretKey: func(context.Context, bool) (string, error) { return "test_sk", nil },
	})
	if err != nil {
		panic("bank: " + err.Error())
	}
	return g
}

// serve is Toss's API.
func (t *Toss) serve(r *http.Request, part []string, body []byte) (int, any, bool) {
	var in struct {
		charge
		AuthKey          string `json:"authKey"`
		CancelAmount     int64  `json:"cancelAmount"`
		RefundableAmount int64  `json:"refundableAmount"`
	}
	if len(body) > 0 && json.Unmarshal(body, &in) != nil {
		return 400, failure("INVALID_REQUEST"), false
	}
	key, last := r.Header.Get("Idempotency-Key"), part[len(part)-1]
	var a answer
	switch {
	case last == "transactions":
		return t.serveRows(r)
	case r.Method == http.MethodDelete:
		if a = t.forget(last); a.status == 200 {
			return 200, nil, false
		}
	case last == "issue":
		ask := billing.Registration{Key: key, AuthKey: in.AuthKey, CustomerKey: in.CustomerKey}
		a = t.write("issue", in.CustomerKey, request{"issue", key}, func() answer { return t.issue(ask) })
		if a.status == 200 {
			return 200, object{
				"billingKey": a.key.BillingKey, "customerKey": a.key.CustomerKey, "card": object{"number": a.key.Number, "issuerCode": a.key.Issuer},
			}, false
		}
	case last == "cancel":
		payment := part[len(part)-2]
		a = t.write("refund", t.orderOf(payment), request{payment, key}, func() answer { return t.cancel(payment, key, in.CancelAmount, in.RefundableAmount) })
	case r.Method == http.MethodPost:
		a = t.write("charge", in.OrderID, request{last, key}, func() answer { return t.charge(last, in.charge) })
	case part[len(part)-2] == "orders":
		a = t.look("find", last, func() answer { return t.order(last) })
	default:
		a = t.look("find refund", t.orderOf(last), func() answer {
			if p := t.byKey[last]; p != nil {
				return shown(p)
			}
			return answer{status: 404, code: "NOT_FOUND_PAYMENT"}
		})
	}
	switch {
	case a.status != 200:
		return a.status, failure(a.code), false
	case a.payment == nil:
		return 200, object{
			"orderId": last, "type": "BILLING", "status": "ABORTED", "currency": won, "totalAmount": a.declined, "failure": failure(a.code),
		}, false
	}
	return 200, a.show(), false
}

// show is a payment as it was when the answer was given.
func (a answer) show() object {
	p := a.payment
	o := object{
		"paymentKey": p.Key, "orderId": p.Order, "type": "BILLING", "status": "DONE", "currency": won, "totalAmount": p.Amount,
		"balanceAmount": p.Amount - a.returned, "vat": vat(p), "taxFreeAmount": p.TaxFree, "lastTransactionKey": a.transaction,
		"approvedAt": p.At.In(korea).Format(time.RFC3339), "card": object{"number": cardNumber, "issuerCode": cardIssuer},
	}
	var cancels []object
	for sum := int64(0); sum < a.returned; {
		c := p.Refunds[len(cancels)]
		sum += c.Amount
		cancels = append(cancels, object{
			"cancelAmount": c.Amount, "refundableAmount": c.left, "transactionKey": c.ID, "cancelStatus": "DONE",
			"canceledAt": c.At.In(korea).Format(time.RFC3339),
		})
	}
	if cancels != nil {
		o["cancels"], o["status"] = cancels, "PARTIAL_CANCELED"
	}
	return o
}

// serveRows is the list of transactions.
func (t *Toss) serveRows(r *http.Request) (int, any, bool) {
	q := r.URL.Query()
	from, bad := time.ParseInLocation("2006-01-02T15:04:05", q.Get("startDate"), korea)
	end, worse := time.ParseInLocation("2006-01-02T15:04:05", q.Get("endDate"), korea)
	if bad != nil || worse != nil || q.Get("limit") != strconv.Itoa(tossRows) {
		return 400, failure("INVALID_REQUEST"), false
	}
	listed := []object{}
	a := t.look("statement", "", func() answer {
		rows, _ := t.listed(from, end, q.Get("startingAfter"))
		for _, r := range rows {
			status := "DONE"
			if r.taken == 0 {
				status = "PARTIAL_CANCELED"
			}
			listed = append(listed, object{
				"transactionKey": r.key(), "paymentKey": r.payment.Key, "orderId": r.payment.Order, "status": status, "currency": won,
				"transactionAt": r.at.In(korea).Format(time.RFC3339), "amount": r.taken + r.returned,
			})
		}
		return answer{status: 200}
	})
	if a.status != 200 {
		return a.status, failure(a.code), false
	}
	return 200, listed, false
}
