package dodo

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"time"

	"grantline/infra/sim/stage"
)

// approval is a page on which a customer approves a mandate, or gives it another means of
// payment. Whoever has its token can.
type approval struct {
	token        string
	subscription *subscription
	payment      *payment
	returnURL    string
	done         bool
}

// invite makes a page. The caller holds mu.
func (s *Simulator) invite(sub *subscription, p *payment) *approval {
	a := &approval{token: s.stage.Text(32, stage.Alphanumeric), subscription: sub, payment: p, returnURL: sub.returnURL}
	s.links[a.token] = a
	s.pages = append(s.pages, a)
	if after := time.Duration(*s.settings.ApproveAfter); after > 0 {
		s.stage.Later(s.stage.Now().Add(after), func(context.Context) {
			s.mu.Lock()
			defer s.mu.Unlock()
			_ = s.complete(a, goodCard, "customer") // it may have been done by then
		})
	}
	return a
}

// complete is what the customer does on the page, with a card of theirs.
func (s *Simulator) complete(a *approval, card, origin string) error {
	if _, known := cards[card]; !known {
		return errors.New("card: 4242424242424242, or another number of the testing guide")
	}
	sub, p := a.subscription, a.payment
	if a.done || p.terminal() || !p.updates && sub.status != Pending {
		return errors.New("this page was used already")
	}
	a.done = true
	p.card, p.method, p.updated = card, s.id("pm"), s.stage.Now()
	refused := cards[card].approval
	switch {
	case p.updates:
		s.settle(p, refused)
		if refused == "" {
			s.updated(sub, card, origin)
		}
	case p.total() == 0:
		sub.card, sub.method = card, p.method
		s.settle(p, refused)
	default:
		sub.card, sub.method = card, p.method
		s.begin(p)
	}
	return nil
}

// refuse is the customer who cannot or will not approve.
func (s *Simulator) refuse(a *approval, code string) error {
	if a.done || a.payment.terminal() {
		return errors.New("this page was used already")
	}
	a.done = true
	s.settle(a.payment, code)
	return nil
}

var checkout = template.Must(template.New("checkout").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Checkout (simulated)</title>
<style>body{font:16px system-ui;max-width:26em;margin:4em auto;padding:0 1em}button{font:inherit;padding:.4em 1em}</style></head>
<body><h1>Checkout (simulated)</h1>
{{if .Open}}<p>{{.What}} for <b>{{.Product}}</b>{{if .Amount}}, {{.Amount}} {{.Currency}} in the smallest unit, now{{end}}.</p>
<form method="post"><p><label>Card <select name="card">{{range .Cards}}<option>{{.}}</option>{{end}}</select></label></p>
<p><button name="answer" value="approve">Approve</button> <button name="answer" value="decline">Decline</button></p></form>
{{else}}<p>This page was used. The subscription is <b>{{.Status}}</b>.</p>{{end}}
</body></html>
`))

// testCards are offered on the page, the good one first.
var testCards = []string{
	goodCard, "5555555555554444", "4000000000000341", "4000000000000002", "4000000000009995", "success@upi", "failure@upi",
}

// showPage is what the payment link opens in a browser.
func (s *Simulator) showPage(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	a := s.links[r.PathValue("link")]
	if a == nil {
		s.mu.Unlock()
		http.NotFound(w, r)
		return
	}
	view := map[string]any{
		"Open": !a.done && !a.payment.terminal(), "What": "A mandate", "Product": a.subscription.product, "Amount": a.payment.total(),
		"Currency": a.payment.currency, "Cards": testCards, "Status": a.subscription.status,
	}
	if a.payment.updates {
		view["What"] = "Another means of payment"
	}
	s.mu.Unlock()
	var out bytes.Buffer
	if err := checkout.Execute(&out, view); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(out.Bytes()) // a browser that has gone is its own affair
}

// answerPage is a button of the page. The customer goes on to the return address.
func (s *Simulator) answerPage(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, stage.MaxBody)
	card := r.PostFormValue("card")
	if card == "" {
		card = goodCard
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.links[r.PathValue("link")]
	if a == nil {
		http.NotFound(w, r)
		return
	}
	var err error
	switch r.PostFormValue("answer") {
	case "approve":
		err = s.complete(a, card, "customer")
	case "decline":
		err = s.refuse(a, "CUSTOMER_CANCELLED")
	default:
		http.Error(w, "answer: approve or decline", http.StatusBadRequest)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	to := r.URL.RequestURI()
	if back, err := url.Parse(a.returnURL); err == nil && (back.Scheme == "http" || back.Scheme == "https") {
		values := back.Query()
		values.Set("subscription_id", a.subscription.id)
		values.Set("status", a.subscription.status)
		back.RawQuery = values.Encode()
		to = back.String()
	} else {
		to = s.stage.Origin(r) + to
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
