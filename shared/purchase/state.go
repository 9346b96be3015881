package purchase

import (
	"context"
	"fmt"

	"grantline/shared/abuse"
	"grantline/shared/catalog"
	"grantline/shared/customer"
	"grantline/shared/table"
)

// entry is an order as it was and as it is.
type entry struct {
	item    table.Item
	was, is Order
	sale    Sale
	product catalog.Product
	listed  bool // the catalog has the product
	heard   bool // the sale was news
	gaveWay bool // another token took the place of the one it was sold with
	along   bool // only whose it is can change
}

// state is everything of ours that news are compared with.
type state struct {
	scope    table.Scope
	claimant *customer.Customer   // who came with a proof; nil if nobody did
	holder   *customer.Customer   // the owner, or who would come to be; nil where there is neither
	giver    *customer.Customer   // who paid for what the holder has, or would have; nil where it is no gift
	people   []*customer.Customer // all whom it is about, each once
	entries  []entry              // of each sale of the news, and then of what else the line holds unclaimed
	item     table.Item           // of the line
	line     Record
	recorded bool         // the token of the news has a record
	pointers []table.Item // of tokens that have none, and are not the line itself
	bound    string       // our id of the customer whom the sale's account names, or ""
	owner    string       // our id of the customer whom it belongs to, or ""
	// restoring says that the claimant comes for what belongs to another.
	restoring bool
	// paid are the sheets of those who had nothing refunded so far, by our id.
	paid map[string]abuse.History
}

// claiming says whether somebody claims what is nobody else's.
func (s state) claiming() bool { return s.claimant != nil && !s.restoring }

// claim is who comes with a proof, and for whom.
type claim struct {
	customer string // the company's id
	giftTo   string // likewise, "" for the claimant
	// bare says that the proof is no more than the name of an order, which more people read than
	// bought it: the policy of restoring does nothing for who comes with that.
	bare bool
}

// read gathers the state, for a claim of something new in two round trips.
func (b *Book) read(ctx context.Context, scope table.Scope, by *claim, news News) (state, News, error) {
	asked := news.Sales[0]
	now := state{scope: scope}
	var err error
	if by != nil {
		if now.claimant, err = b.Customers.Named(ctx, scope, by.customer); err != nil {
			return state{}, News{}, err
		}
		now.meet(now.claimant)
	}
	var keys []table.Key
	if news.Token == nil {
		now.item.Key = recordKey(scope, asked.Store, asked.Line)
		keys = append(keys, now.item.Key)
	} else {
		if err := b.locate(ctx, &now, news); err != nil {
			return state{}, News{}, err
		}
	}
	if news.Sales, err = b.match(ctx, &now, keys, news.Sales); err != nil {
		return state{}, News{}, err
	}
	asked = news.Sales[0]
	if asked.Account != "" {
		if now.bound, err = b.bound(ctx, now, asked); err != nil {
			return state{}, News{}, err
		}
	}
	if err := b.whose(ctx, &now, by); err != nil {
		return state{}, News{}, err
	}
	if now.line.Owner == "" && (now.claimant != nil || now.owner != "") {
		err = b.join(ctx, &now, now.line.inherited(mostTogether-len(now.entries), b.Clock.Now()), false)
	} else if news.Token != nil {
		err = b.join(ctx, &now, now.line.superseded(news), false)
	}
	if err == nil && now.restoring {
		err = b.join(ctx, &now, now.line.Terms[:max(0, min(len(now.line.Terms), mostAlong-len(now.entries)))], true)
	}
	if err == nil {
		err = now.giftable()
	}
	if err == nil {
		err = b.sheets(ctx, &now)
	}
	return now, news, err
}

// bound is our id of the customer whom a sale's account names, "" if nobody is known by it.
// What is derived from the claimant's id is the claimant's, whoever came with it before.
func (b *Book) bound(ctx context.Context, now state, asked Sale) (string, error) {
	if now.claimant != nil {
		own, err := b.Customers.Identity.StoreIDs(ctx, now.scope, now.claimant.Profile.ID)
		if err != nil {
			return "", err
		}
		if own.At(asked.Store) == asked.Account {
			return now.claimant.Ref, nil
		}
	}
	ref, err := customer.Bound(ctx, b.Tables, now.scope, asked.Store, asked.Account)
	if ref != "" || err != nil || now.claimant == nil {
		return ref, err
	}
	// One who was never here, but was given a name for the store.
	made, err := b.Customers.Identity.Made(ctx, now.scope, asked.Store, asked.Account)
	if made {
		err = ownedByAnother()
	}
	return "", err
}

// fill reads the line and the orders of a state.
func (b *Book) fill(ctx context.Context, now *state, keys []table.Key) error {
	items, err := b.Tables.GetAll(ctx, keys)
	if err != nil {
		return fmt.Errorf("purchase: reading: %w", err)
	}
	for _, item := range items {
		if item.Key == now.item.Key {
			now.item = item
			now.line, err = decodeRecord(item)
		}
		for i := range now.entries {
			if e := &now.entries[i]; item.Key == e.item.Key {
				e.item = item
				e.was, err = DecodeOrder(item)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// join adds what else the line holds: for whoever becomes its owner, or what another token
// takes the place of; or, along with it, all that changes hands.
func (b *Book) join(ctx context.Context, now *state, terms []Term, along bool) error {
	var keys []table.Key
	for i, t := range terms {
		key := orderKey(now.scope, t.Order)
		known := false
		for _, e := range now.entries {
			known = known || e.item.Key == key
		}
		if known || t.State == Refunded && !along {
			continue
		}
		p, listed := b.Catalog.BySKU(now.line.Store, t.SKU)
		if !listed && !along && i >= mostTerms {
			continue // long over, and no reason to keep from its owner what is not
		}
		now.entries = append(now.entries, entry{item: table.Item{Key: key}, product: p, listed: listed, along: along})
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil
	}
	return b.fill(ctx, now, keys)
}
