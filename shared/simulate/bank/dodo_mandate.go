package bank

import (
	"context"
	"net/url"
	"strings"
	"unicode/utf8"

	"grantline/shared/billing"
	"grantline/shared/fault"
)

// Invite makes a mandate and the page on which the customer approves it.
func (d *Dodo) Invite(_ context.Context, i billing.Invitation) (billing.Invited, error) {
	if field := unfit(i); field != "" {
		return billing.Invited{}, fault.New(fault.Invalid, "invalid_mandate", "%s cannot be used.", field)
	}
	var made billing.Invited
	s := d.write("invite", i.Subscription, func() said {
		made = d.make(i)
		return dodoFine
	})
	if !s.fine() {
		return billing.Invited{}, dodoUnavailable()
	}
	return made, nil
}

// make makes a mandate with its page, and its first payment, which waits for the customer.
func (d *Dodo) make(i billing.Invitation) billing.Invited {
	m := &mandate{id: d.id("sub_"), subscription: i.Subscription, order: i.OrderID, invitation: i, state: billing.MandatePending}
	made := billing.Invited{Mandate: m.id, Link: d.id("https://dodo.invalid/secret-page-")}
	d.mandates[m.id], d.newest[m.subscription], d.pages[made.Link] = m, m, &page{mandate: m}
	if i.OrderID != "" {
		d.pay(m, i.OrderID, i.Price.Units, i.Price.Currency)
	}
	return made
}

// unfit names a field of an invitation that the adapter does not send.
func unfit(i billing.Invitation) string {
	short := func(s string, most int) bool { return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most }
	switch {
	case !isID(i.Subscription):
		return "id"
	case i.OrderID != "" && !isOrder(i.OrderID):
		return "orderId"
	case !isID(i.Product):
		return "product"
	case i.OrderID != "" && (i.Price.Units <= 0 || !isCurrency(i.Price.Currency)):
		return "price"
	case !short(i.Name, 100) || i.OrderID != "" && strings.TrimSpace(i.Name) == "":
		return "name"
	case i.Customer.ID != "" && !isID(i.Customer.ID):
		return "customer.id"
	case i.Customer.ID == "" && strings.IndexByte(i.Customer.Email, '@') < 1:
		return "customer.email"
	case i.Customer.ID == "" && (strings.TrimSpace(i.Customer.Name) == "" || !short(i.Customer.Name, 100)):
		return "customer.name"
	case len(i.Address.Country) != 2:
		return "billing.country"
	case !returnable(i.ReturnURL):
		return "returnUrl"
	}
	return ""
}

func returnable(address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= 2000 && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && printable(address)
}

// Look says how a mandate stands.
func (d *Dodo) Look(_ context.Context, id string) (billing.Mandate, error) {
	if !isID(id) {
		return billing.Mandate{}, dodoUnavailable()
	}
	var found billing.Mandate
	s := d.look("mandate", id, func() said {
		m := d.mandates[id]
		if m == nil {
			return dodoMissing
		}
		found = billing.Mandate{State: m.state, Method: m.method}
		return dodoFine
	})
	switch {
	case s.status == 404:
		return billing.Mandate{}, unknownMandate()
	case !s.fine():
		return billing.Mandate{}, dodoUnavailable()
	}
	return found, nil
}

func unknownMandate() error {
	return fault.New(fault.NotFound, "mandate_unknown", "Dodo Payments knows no such subscription.")
}

// Mend makes the page on which the customer gives a mandate another means of payment.
func (d *Dodo) Mend(_ context.Context, id, returnURL string) (string, error) {
	switch {
	case !returnable(returnURL):
		return "", fault.New(fault.Invalid, "invalid_mandate", "returnUrl should be an absolute http or https URL of up to 2000 characters.")
	case !isID(id):
		return "", unknownMandate()
	}
	link := ""
	s := d.write("mend", id, func() (s said) {
		link, s = d.mend(id)
		return s
	})
	switch {
	case s.fine():
		return link, nil
	case s.status == 404:
		return "", unknownMandate()
	case s.status == 400:
		return "", fault.New(fault.Conflict, "mandate_not_mendable", "This subscription cannot be given another means of payment now.")
	}
	return "", dodoUnavailable()
}

// mend makes such a page.
func (d *Dodo) mend(id string) (string, said) {
	m := d.mandates[id]
	switch {
	case m == nil:
		return "", dodoMissing
	case m.state != billing.MandateActive && m.state != billing.MandateOnHold:
		return "", said{status: 400, code: "SUBSCRIPTION_INACTIVE"}
	}
	link := d.id("https://dodo.invalid/secret-mend-")
	d.pages[link] = &page{mandate: m, mends: true}
	return link, dodoFine
}

// Revoke ends a mandate.
func (d *Dodo) Revoke(_ context.Context, id string) error {
	if !isID(id) {
		return dodoUnavailable()
	}
	s := d.write("revoke", id, func() said { return d.revoke(id) })
	if !s.fine() && s.status != 404 {
		return dodoUnavailable()
	}
	return nil
}

func (d *Dodo) revoke(id string) said {
	m := d.mandates[id]
	if m == nil {
		return dodoMissing
	}
	d.end(m)
	return dodoFine
}

func (d *Dodo) end(m *mandate) {
	if m.state != billing.MandateEnded {
		m.state = billing.MandateEnded
		d.toldMandate("subscription.cancelled", m)
	}
}

// ConsoleVisit is a customer on a page that Invite or Mend made, with a card: it approves the
// mandate, which takes its first payment if there is to be one, or gives it another means of
// payment. Currency is what the customer chooses to pay in, "" for the price's. It is false
// where the page is closed or already being worked on, or the card is refused at once.
func (d *Dodo) ConsoleVisit(link string, c *Card, currency string) bool {
	at := d.pages[link]
	if at == nil || at.used {
		return false
	}
	m := at.mandate
	if at.mends {
		at.used = d.renew(m, c)
		return at.used
	}
	if m.state != billing.MandatePending || m.open != nil {
		return false
	}
	m.currency = currency
	if m.order == "" {
		if r := c.ask(d.world.Now()); r != Approved && r != Ambiguous {
			return false
		}
		d.activate(m, c)
		return true
	}
	var p *Payment
	for _, was := range m.payments {
		if was.state == waiting {
			p = was
		}
	}
	if p == nil { // it has failed: the page makes another
		p = d.pay(m, m.order, m.invitation.Price.Units, m.invitation.Price.Currency)
	} else {
		d.price(p, m.invitation.Price.Units, m.invitation.Price.Currency)
	}
	p.Card, p.state, m.open = c, deciding, p
	d.decideLater(p)
	return true
}

// renew gives a mandate another means of payment. What shows it is a payment of nothing, which
// copies the metadata of the mandate.
func (d *Dodo) renew(m *mandate, c *Card) bool {
	if r := c.ask(d.world.Now()); m.state != billing.MandateActive && m.state != billing.MandateOnHold || r != Approved && r != Ambiguous {
		return false
	}
	p := d.pay(m, m.order, 0, "USD")
	p.method, p.state, p.Card = true, succeeded, c
	m.card, m.method = c, d.id("pm_")
	p.means = m.method
	if d.told("payment.succeeded", p); m.state == billing.MandateOnHold {
		m.state = billing.MandateActive
		d.toldMandate("subscription.active", m)
		return true
	}
	d.toldMandate("subscription.update_payment_method", m)
	return true
}

// ConsoleHold puts a mandate on hold.
func (d *Dodo) ConsoleHold(id string) {
	if m := d.mandates[id]; m != nil && m.state == billing.MandateActive {
		m.state = billing.MandateOnHold
		d.toldMandate("subscription.on_hold", m)
	}
}

// ConsoleMend gives a mandate another means of payment as a customer does on a page of Dodo's
// own, such as its portal. It is false where it cannot.
func (d *Dodo) ConsoleMend(id string, c *Card) bool {
	m := d.mandates[id]
	return m != nil && d.renew(m, c)
}

// ConsoleEnd ends a mandate, as its customer may in Dodo's portal.
func (d *Dodo) ConsoleEnd(id string) {
	if m := d.mandates[id]; m != nil {
		d.end(m)
	}
}

// MandateOf is the newest mandate of a subscription of ours, as it stands; "" if there is none.
func (d *Dodo) MandateOf(subscription string) (id string, state billing.MandateState) {
	if m := d.newest[subscription]; m != nil {
		return m.id, m.state
	}
	return "", ""
}
