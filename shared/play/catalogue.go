package play

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/api/androidpublisher/v3"

	"grantline/shared/catalog"
	"grantline/shared/clock"
	"grantline/shared/fault"
)

const (
	// catalogueFresh is how long what was read of the Console is shown without another look.
	catalogueFresh = 10 * time.Minute
	// catalogueStale is how long it is shown while Google cannot be asked.
	catalogueStale = 24 * time.Hour
	// catalogueAgain is after how long Google is asked again where it could not be, or could
	// not be asked for everything.
	catalogueAgain = time.Minute
	// catalogueWithin bounds the wait for a new one while there is an old one to show.
	catalogueWithin = 10 * time.Second
)

// CatalogueConfig is what a Catalogue needs; all of it is required.
type CatalogueConfig struct {
	API      *API
	Packages []string // of our apps
	// Catalog says what we call what Google sells.
	Catalog *catalog.Catalog
	Clock   clock.Clock
	Log     *slog.Logger
}

// Catalogue is what the Play Console says is for sale now. It may be used by several
// goroutines at once, and asks nobody before it is asked.
type Catalogue struct {
	config CatalogueConfig
	turn   chan struct{} // one asks, and has what is below to itself
	kept   *shelf
	failed time.Time // when Google could not be asked
}

// Catalogue is that of the store's own apps.
func (s *Store) Catalogue() *Catalogue {
	return NewCatalogue(CatalogueConfig{API: s.API, Packages: s.Packages, Catalog: s.Catalog, Clock: s.Clock, Log: s.Log})
}

// NewCatalogue makes a Catalogue.
func NewCatalogue(c CatalogueConfig) *Catalogue {
	return &Catalogue{config: c, turn: make(chan struct{}, 1)}
}

// Products gives what may be bought now in a region ("KR"), or of all with "": by package and
// product, and nothing that is a draft, inactive, over or not there yet. It is ten minutes old
// at most, or a day while Google is out of reach. Its only error is fault.Unavailable.
func (c *Catalogue) Products(ctx context.Context, region string) ([]Product, error) {
	found, err := c.shelf(ctx)
	if err != nil {
		return nil, err
	}
	return found.show(view{catalog: c.config.Catalog, now: c.config.Clock.Now(), region: region}), nil
}

// shelf is what was read last, or is read now.
func (c *Catalogue) shelf(ctx context.Context) (*shelf, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, unread(ctx.Err())
	}
	defer func() { <-c.turn }()
	now := c.config.Clock.Now()
	within := func(d time.Duration, since time.Time) bool {
		age := now.Sub(since)
		return age >= 0 && age < d
	}
	old := c.kept
	switch {
	case old == nil || !within(catalogueStale, old.asked):
		old = nil
	case within(catalogueFresh, old.asked) && (old.whole || within(catalogueAgain, old.asked)), within(catalogueAgain, c.failed):
		return old, nil
	}
	read, err := c.read(ctx, now, old != nil)
	switch {
	case err == nil && (read.whole || old == nil || !old.whole):
		c.kept = read
		return read, nil
	case old == nil:
		return nil, unread(err)
	case ctx.Err() == nil:
		c.failed = now
	}
	c.config.Log.WarnContext(ctx, "What Google Play sells cannot be read, and what it sold before is shown.", "read", old.asked, "error", err)
	return old, nil
}

func unread(cause error) error {
	return fault.New(fault.Unavailable, codeAPIUnavailable, "What Google Play sells could not be looked up now; ask again.").Because(cause)
}

// shelf is what the Console says, but for what is not active.
type shelf struct {
	asked time.Time // before any of it was
	whole bool      // the offers are known
	apps  []appShelf
}

// appShelf is that of one app. The offers are those of what is on it.
type appShelf struct {
	pkg           string
	once          []*androidpublisher.OneTimeProduct
	subscriptions []*androidpublisher.Subscription
	// Offers by product and option, nil where they are not known.
	onceOffers         map[optionName][]*androidpublisher.OneTimeProductOffer
	subscriptionOffers map[optionName][]*androidpublisher.SubscriptionOffer
}

// optionName is a purchase option or a base plan.
type optionName struct{ product, option string }

// read asks Google for everything. What cannot be sold without is an error; where offers are
// lacking, nothing is said of them.
func (c *Catalogue) read(ctx context.Context, now time.Time, hurried bool) (*shelf, error) {
	if hurried {
		hurry, cancel := context.WithTimeout(ctx, catalogueWithin)
		defer cancel()
		ctx = hurry
	}
	read := &shelf{asked: now, whole: true}
	for _, pkg := range c.config.Packages {
		app := appShelf{pkg: pkg}
		once, err := c.config.API.OneTimeProducts(ctx, pkg)
		if err != nil {
			return nil, err
		}
		subscriptions, err := c.config.API.Subscriptions(ctx, pkg)
		if err != nil {
			return nil, err
		}
		app.once, app.subscriptions = onSale(once), subscribable(subscriptions)
		if err := c.readOffers(ctx, &app); err != nil {
			read.whole = false
			c.config.Log.WarnContext(ctx, "The offers of Google Play cannot be read.", "error", err)
		}
		read.apps = append(read.apps, app)
	}
	return read, nil
}

// readOffers asks for the offers of what there is.
func (c *Catalogue) readOffers(ctx context.Context, app *appShelf) error {
	var failed []error
	app.onceOffers = map[optionName][]*androidpublisher.OneTimeProductOffer{}
	if len(app.once) > 0 {
		offers, err := c.config.API.OneTimeOffers(ctx, app.pkg)
		if err != nil {
			app.onceOffers, failed = nil, append(failed, err)
		}
		for _, o := range offers {
			if o.State == stateOnSale {
				at := optionName{o.ProductId, o.PurchaseOptionId}
				app.onceOffers[at] = append(app.onceOffers[at], o)
			}
		}
	}
	app.subscriptionOffers = map[optionName][]*androidpublisher.SubscriptionOffer{}
	if len(app.subscriptions) > 0 {
		offers, err := c.config.API.SubscriptionOffers(ctx, app.pkg)
		if err != nil {
			app.subscriptionOffers, failed = nil, append(failed, err)
		}
		for _, o := range offers {
			if o.State == stateOnSale {
				at := optionName{o.ProductId, o.BasePlanId}
				app.subscriptionOffers[at] = append(app.subscriptionOffers[at], o)
			}
		}
	}
	return errors.Join(failed...)
}

// stateOnSale is the only state of a purchase option, a base plan or an offer in which it can
// be bought: the others are a draft, over, or shown to old versions of an app alone.
const stateOnSale = "ACTIVE"

// onSale leaves the purchase options that are active, and the products that have one.
func onSale(all []*androidpublisher.OneTimeProduct) []*androidpublisher.OneTimeProduct {
	return slices.DeleteFunc(all, func(p *androidpublisher.OneTimeProduct) bool {
		p.PurchaseOptions = slices.DeleteFunc(p.PurchaseOptions, func(o *androidpublisher.OneTimeProductPurchaseOption) bool {
			return o == nil || o.State != stateOnSale
		})
		return len(p.PurchaseOptions) == 0
	})
}

// subscribable leaves the base plans that are active, and the subscriptions that have one.
func subscribable(all []*androidpublisher.Subscription) []*androidpublisher.Subscription {
	return slices.DeleteFunc(all, func(p *androidpublisher.Subscription) bool {
		p.BasePlans = slices.DeleteFunc(p.BasePlans, func(o *androidpublisher.BasePlan) bool {
			return o == nil || o.State != stateOnSale
		})
		return p.Archived || len(p.BasePlans) == 0
	})
}

// show is what can be seen of it.
func (s *shelf) show(v view) []Product {
	all := []Product{}
	for _, app := range s.apps {
		for _, p := range app.once {
			all = v.put(all, v.once(app, p))
		}
		for _, p := range app.subscriptions {
			all = v.put(all, v.subscription(app, p))
		}
	}
	slices.SortStableFunc(all, func(a, b Product) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.ProductID, b.ProductID))
	})
	return all
}
