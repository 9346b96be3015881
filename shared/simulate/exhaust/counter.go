package exhaust

import (
	"context"
	"strconv"
	"time"

	"grantline/shared/fault"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
)

// counter is a store that has sold one pack of currency, or a level for ever, and says how that
// stands as the adapters of shared/apple and shared/play say it.
type counter struct {
	path     *Path
	name     string
	sku      string
	refunded bool
	// acknowledged and consumed are what it was told; telling hears of it as it is.
	acknowledged, consumed bool
	telling                func()
}

const (
	storeOrder = "o-1"
	evidence   = "evidence-1"
	gems       = "gems100"
	level      = "level"
)

// pack is how many of the currency it has sold.
func (c *counter) pack() int64 {
	if c.sku == gems {
		return 100
	}
	return 0
}

func (c *counter) print(p *Print) {
	p.Bool(c.refunded)
	p.Bool(c.acknowledged)
	p.Bool(c.consumed)
}

// call crosses to the store.
func (c *counter) call(verb string, write bool, do func()) error {
	fate := c.path.Call("store", verb, storeOrder, write)
	switch fate {
	case simulate.Fine, simulate.Unheard:
		do()
	case simulate.Late:
		c.path.World.After(10*time.Minute, do)
	case simulate.Lost, simulate.Busy, simulate.Vague, simulate.Stale, simulate.Partial:
	}
	if fate != simulate.Fine {
		c.path.Answered(fate == simulate.Unheard && write, fate.String())
	}
	c.path.World.Crossed()
	if fate != simulate.Fine {
		return fault.New(fault.Unavailable, "store_unavailable", "The store did not answer.")
	}
	return nil
}

// giveBack is the customer's, who gets the money back from the store; no function has a part
// in it.
func (c *counter) giveBack() { c.refunded = true }

func (c *counter) sale(asOf time.Time) purchase.Sale {
	s := purchase.Sale{
		Store: c.name, Line: storeOrder, Order: storeOrder, SKU: c.sku, State: purchase.Paid, PurchasedAt: begun.Add(-time.Minute),
		AsOf: asOf, Quantity: 1, Currency: "KRW", Price: 4900,
	}
	if c.refunded {
		s.State = purchase.Refunded
	}
	return s
}

// ask is how the sale stands at the moment of asking.
func (c *counter) ask(verb string, news func(asOf time.Time) purchase.News) (purchase.News, error) {
	var is purchase.News
	asOf := c.path.World.Now()
	if err := c.call(verb, false, func() { is = news(asOf) }); err != nil {
		return purchase.News{}, err
	}
	c.path.Answered(false, string(is.Sales[0].State), strconv.FormatBool(c.acknowledged), strconv.FormatBool(c.consumed))
	return is, nil
}

// words is a store whose evidence is a word by itself: the App Store.
type words struct{ *counter }

var (
	_ purchase.Store    = words{}
	_ purchase.Reader   = words{}
	_ purchase.Follower = words{}
)

func (c words) news(asOf time.Time) purchase.News {
	return purchase.News{Sales: []purchase.Sale{c.sale(asOf)}}
}

// Look asks the store.
func (c words) Look(context.Context, purchase.Proof) (purchase.News, error) {
	return c.ask("look", c.news)
}

// Read is what was signed at the purchase.
func (c words) Read(context.Context, purchase.Proof) (purchase.Sale, bool, error) {
	s := c.sale(begun.Add(-time.Minute))
	s.State = purchase.Paid
	return s, true, nil
}

// Hear asks the store about what a notice names.
func (c words) Hear(context.Context, string) (purchase.News, error) { return c.ask("hear", c.news) }

// Follow asks the store about a line.
func (c words) Follow(context.Context, purchase.Line) (purchase.News, bool, error) {
	news, err := c.ask("follow", c.news)
	return news, true, err
}

// Report is never asked for.
func (c words) Report(context.Context, purchase.Sale, purchase.Usage) error { return nil }

// tokens is a store that is asked by a token and has to hear that it was delivered: Google Play.
type tokens struct{ *counter }

var (
	_ purchase.Store        = tokens{}
	_ purchase.Follower     = tokens{}
	_ purchase.Acknowledger = tokens{}
)

const tokenID = "token-1"

// refundsUnheard is when Google Play gives the money back that nobody has acknowledged.
const refundsUnheard = 72 * time.Hour

func (c tokens) news(asOf time.Time) purchase.News {
	s := c.sale(asOf)
	s.App, s.Line, s.Part, s.Blind, s.Unconsumed, s.Currency, s.Price = "com.example.app", tokenID, c.sku, true, !c.consumed, "", 0
	news := purchase.News{Sales: []purchase.Sale{s}, Token: &purchase.Token{ID: tokenID, Secret: evidence, Kind: "product@com.example.app"}}
	if !c.refunded {
		news.Token.Unacknowledged, news.Token.By = !c.acknowledged, s.PurchasedAt.Add(refundsUnheard)
	}
	return news
}

// Look asks the store.
func (c tokens) Look(context.Context, purchase.Proof) (purchase.News, error) {
	return c.ask("look", c.news)
}

// Hear asks the store about the token that a notice names.
func (c tokens) Hear(context.Context, string) (purchase.News, error) { return c.ask("hear", c.news) }

// Follow asks the store about a token.
func (c tokens) Follow(context.Context, purchase.Line) (purchase.News, bool, error) {
	news, err := c.ask("follow", c.news)
	return news, true, err
}

// Report is never asked for.
func (c tokens) Report(context.Context, purchase.Sale, purchase.Usage) error { return nil }

// LineOf names the token.
func (c tokens) LineOf(purchase.Proof) string { return tokenID }

// Acknowledge hears that the customer has what was paid for, and that it is used up.
func (c tokens) Acknowledge(_ context.Context, d purchase.Delivery) error {
	refused := false
	err := c.call("acknowledge", true, func() {
		if c.telling != nil {
			c.telling()
		}
		if refused = c.refunded; refused {
			return
		}
		c.acknowledged = true // consuming is acknowledging
		c.consumed = c.consumed || d.Consume
	})
	if err != nil {
		return err
	}
	c.path.Answered(!refused, strconv.FormatBool(refused))
	if refused {
		return fault.New(fault.Invalid, "not_taken", "The store takes no word of this any more.")
	}
	return nil
}
