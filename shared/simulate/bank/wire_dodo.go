package bank

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"grantline/shared/billing"
	"grantline/shared/dodo"
	"grantline/shared/money"
)

// Wire is the real adapter, with this Dodo at the other end of its connections, as Toss's is.
func (d *Dodo) Wire(log *slog.Logger) *dodo.Gateway {
	g, err := dodo.New(dodo.Config{
		URL: "https://dodo.invalid", Timeout: never, Log: log, Transport: wire(d.serve),
		Key: func(context.Context, bool) (string, error) { return "test", nil },
	})
	if err != nil {
		panic("bank: " + err.Error())
	}
	return g
}

// asked is any body that the adapter sends.
type asked struct {
	Price    int64             `json:"product_price"`
	Currency string            `json:"product_currency"`
	Product  string            `json:"product_id"`
	Metadata map[string]string `json:"metadata"`
	OnDemand struct {
		Price    int64  `json:"product_price"`
		Currency string `json:"product_currency"`
	} `json:"on_demand"`
	Payment string `json:"payment_id"`
	Items   []struct {
		Amount int64 `json:"amount"`
	} `json:"items"`
}

// serve is Dodo's API.
func (d *Dodo) serve(r *http.Request, part []string, body []byte) (int, any, bool) {
	var in asked
	if len(body) > 0 && json.Unmarshal(body, &in) != nil {
		return 422, failure("INVALID_REQUEST_BODY"), false
	}
	var s said
	var out any
	switch last := part[len(part)-1]; {
	case r.Method == http.MethodPost && len(part) == 3:
		s = d.write(map[string]string{"charge": "charge", "update-payment-method": "mend"}[last], d.about(in, part), func() (s said) {
			var id string
			if last == "charge" {
				c := ondemand{Price: in.Price, Currency: in.Currency}
				c.Metadata.Order = in.Metadata["order_id"]
				id, s = d.charge(part[1], c)
				out = object{"payment_id": id}
				return s
			}
			id, s = d.mend(part[1])
			out = object{"payment_link": id}
			return s
		})
	case r.Method == http.MethodPost && last == "refunds":
		s = d.write("refund", d.orderOf(in.Payment), func() said {
			amount := int64(0)
			if len(in.Items) > 0 {
				amount = in.Items[0].Amount
			}
			made, s := d.giveBack(in.Payment, in.Metadata["refund_key"], amount)
			if made != nil {
				out = made.show()
			}
			return s
		})
	case r.Method == http.MethodPost:
		s = d.write("invite", in.Metadata["grantline_subscription"], func() said {
			made := d.make(billing.Invitation{
				Subscription: in.Metadata["grantline_subscription"], OrderID: in.Metadata["order_id"], Product: in.Product,
				Price: money.Of(in.OnDemand.Price, in.OnDemand.Currency),
			})
			out = object{"subscription_id": made.Mandate, "payment_link": made.Link}
			return dodoFine
		})
	case r.Method == http.MethodPatch:
		s = d.write("revoke", last, func() said {
			s := d.revoke(last)
			if s.fine() {
				out = d.mandates[last].show()
			}
			return s
		})
	case len(part) == 1:
		s, out = d.serveList(r, part[0])
	case part[0] == "subscriptions":
		s = d.look("mandate", last, func() said {
			m := d.mandates[last]
			if m == nil {
				return dodoMissing
			}
			out = m.show()
			return dodoFine
		})
	case part[0] == "refunds":
		s = d.look("refund", last, func() said {
			for _, each := range d.refunds {
				if each.ID == last {
					out = each.show()
					return dodoFine
				}
			}
			return dodoMissing
		})
	default:
		s = d.look("payment", d.orderOf(last), func() said {
			p := d.byKey[last]
			if p == nil {
				return dodoMissing
			}
			out = p.show()
			return dodoFine
		})
	}
	if !s.fine() {
		return s.status, failure(s.code), s.unsent
	}
	return 200, out, false
}

// about is what a request to a mandate is about: the order that it is charged for, or itself.
func (d *Dodo) about(in asked, part []string) string {
	if order := in.Metadata["order_id"]; order != "" {
		return order
	}
	return part[1]
}

// serveList is a page of payments, refunds or disputes.
func (d *Dodo) serveList(r *http.Request, what string) (said, any) {
	q := r.URL.Query()
	number, bad := strconv.Atoi(q.Get("page_number"))
	size, worse := strconv.Atoi(q.Get("page_size"))
	if bad != nil || worse != nil {
		return said{status: 400, code: "INVALID_QUERY_PARAMS"}, nil
	}
	from, _ := time.Parse(time.RFC3339Nano, q.Get("created_at_gte"))
	to, _ := time.Parse(time.RFC3339Nano, q.Get("created_at_lte"))
	items := []object{}
	if what == refundsPart {
		s := d.look("statement", refundsPart, func() said {
			for _, each := range d.repaid(from, to, number) {
				o := each.show()
				delete(o, "metadata")
				items = append(items, o)
			}
			return dodoFine
		})
		return s, object{"items": items}
	}
	if what == disputesPart {
		s := d.look("statement", disputesPart, func() said {
			for _, each := range d.opened(from, to, number, size) {
				items = append(items, each.show())
			}
			return dodoFine
		})
		return s, object{"items": items}
	}
	mandate := q.Get("subscription_id")
	verb, about := "payments", mandate
	if mandate == "" {
		verb, about = "statement", paymentsPart
	}
	s := d.look(verb, about, func() said {
		for _, p := range d.listed(mandate, from, to, number, size) {
			o := p.show()
			for _, alone := range []string{"error_code", "refunds", "disputes", "is_update_payment_method", "tax"} {
				delete(o, alone)
			}
			items = append(items, o)
		}
		return dodoFine
	})
	return s, object{"items": items}
}

func (m *mandate) show() object {
	states := map[billing.MandateState]string{
		billing.MandatePending: "pending", billing.MandateActive: "active", billing.MandateOnHold: "on_hold", billing.MandateEnded: "cancelled",
	}
	o := object{"subscription_id": m.id, "status": states[m.state], "on_demand": true, "product_id": m.invitation.Product}
	if m.method != "" {
		o["payment_method_id"] = m.method
	}
	return o
}

func (p *Payment) show() object {
	data := object{"order_id": p.Order}
	if p.Order == "" {
		data = object{}
	}
	refunds, disputes := []object{}, []object{}
	for _, r := range p.Refunds {
		o := r.show()
		delete(o, "metadata")
		refunds = append(refunds, o)
	}
	if p.dispute != nil {
		disputes = append(disputes, p.dispute.show())
	}
	o := object{
		"payment_id": p.Key, "subscription_id": p.Holder, "created_at": p.Made.Format(time.RFC3339Nano), "currency": p.Currency, "metadata": data,
		"total_amount": p.Amount, "tax": p.Amount - p.Asked, "refunds": refunds, "disputes": disputes, "is_update_payment_method": p.method,
		"card_last_four": "4242", "card_network": "VISA",
		"status": [...]string{waiting: "requires_payment_method", deciding: "processing", succeeded: "succeeded", failed: "failed"}[p.state],
	}
	if p.means != "" {
		o["payment_method_id"] = p.means
	}
	if p.state == failed {
		o["error_code"] = dodoWords[p.reason].code
	}
	return o
}

func (s *dispute) show() object {
	amount := s.payment.Amount
	if s.payment.seized {
		amount = s.payment.Seized
	}
	return object{
		"dispute_id": s.id, "payment_id": s.payment.Key, "created_at": s.opened.Format(time.RFC3339Nano), "dispute_status": s.status,
		"amount": strconv.FormatInt(amount, 10), "currency": s.payment.Currency,
	}
}

func (r *Refund) show() object {
	data := object{}
	if r.Key != "" {
		data["refund_key"] = r.Key
	}
	return object{
		"refund_id": r.ID, "payment_id": r.Payment.Key, "amount": r.Amount, "currency": r.Payment.Currency, "is_partial": r.left > 0,
		"created_at": r.At.Format(time.RFC3339Nano), "metadata": data,
		"status": [...]string{waiting: "review", deciding: "pending", succeeded: "succeeded", failed: "failed"}[r.state],
	}
}
