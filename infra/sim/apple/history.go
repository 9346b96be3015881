package apple

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"grantline/infra/sim/stage"
)

// pageSize bounds the answers that come by pages.
const pageSize = 20

// mark is where a page ended, and of which question; Apple's are opaque as well.
type mark struct {
	Filters string `json:"f"`
	At      int64  `json:"a"`
	ID      string `json:"i,omitempty"`
}

func (m mark) String() string {
	return base64.RawURLEncoding.EncodeToString(must(json.Marshal(m)))
}

// readMark reads a mark that was made for the same filters.
func readMark(text, filters string) (mark, bool) {
	var m mark
	raw, err := base64.RawURLEncoding.DecodeString(text)
	return m, err == nil && json.Unmarshal(raw, &m) == nil && m.Filters == filters
}

func digest(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:8])
}

// filter is what a history is asked for.
type filter struct {
	from, to    int64 // of purchaseDate; to is exclusive and 0 is none
	products    []string
	types       []string
	groups      []string
	ownership   string
	revoked     *bool
	descending  bool
	identity    string // of all of it
	unfinished1 bool   // version 1 leaves out consumables that were finished
}

var productTypes = map[string]string{
	"AUTO_RENEWABLE": AutoRenewable, "NON_RENEWABLE": NonRenewing, "CONSUMABLE": Consumable, "NON_CONSUMABLE": NonConsumable,
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)

func readFilter(q *query) (filter, *apiError) {
	v := q.URL.Query()
	f := filter{unfinished1: strings.Contains(q.URL.Path, "/inApps/v1/")}
	var ok bool
	if f.from, ok = millis(v, "startDate"); !ok {
		return f, &invalidStart
	}
	if f.to, ok = millis(v, "endDate"); !ok {
		return f, &invalidEnd
	}
	if f.to != 0 && f.from >= f.to {
		return f, &startAfterEnd
	}
	for _, name := range v["productType"] {
		kind, ok := productTypes[name]
		if !ok {
			return f, &invalidProductType
		}
		f.types = append(f.types, kind)
	}
	f.products, f.groups = v["productId"], v["subscriptionGroupIdentifier"]
	odd := func(name string) bool { return !namePattern.MatchString(name) }
	switch sort := v.Get("sort"); {
	case slices.ContainsFunc(f.products, odd):
		return f, &invalidProduct
	case slices.ContainsFunc(f.groups, odd):
		return f, &invalidGroup
	case !slices.Contains([]string{"", "ASCENDING", "DESCENDING"}, sort):
		return f, &invalidSort
	default:
		f.descending = sort == "DESCENDING"
	}
	if f.ownership = v.Get("inAppOwnershipType"); !slices.Contains([]string{"", purchased, familyShared}, f.ownership) {
		return f, &invalidOwnership
	}
	switch v.Get("revoked") {
	case "":
	case "true", "false":
		f.revoked = ptr(v.Get("revoked") == "true")
	default:
		return f, &invalidRevoked
	}
	v.Del("revision")
	f.identity = digest(q.id + "?" + v.Encode())
	return f, nil
}

// millis reads an instant that need not be there.
func millis(v url.Values, name string) (int64, bool) {
	if !v.Has(name) {
		return 0, true
	}
	at, err := strconv.ParseInt(v.Get(name), 10, 64)
	return at, err == nil && at >= 0
}

func (f filter) fits(t *sale) bool {
	return t.PurchaseDate >= f.from && (f.to == 0 || t.PurchaseDate < f.to) &&
		(len(f.products) == 0 || slices.Contains(f.products, t.ProductID)) &&
		(len(f.types) == 0 || slices.Contains(f.types, t.Type)) &&
		(len(f.groups) == 0 || slices.Contains(f.groups, t.SubscriptionGroup)) &&
		(f.ownership == "" || f.ownership == t.InAppOwnershipType) &&
		(f.revoked == nil || *f.revoked == t.revoked()) &&
		(!f.unfinished1 || t.Type != Consumable || !t.finished || t.revoked())
}

// history lists a customer's transactions by when they were made or changed last, so that
// one that changes while somebody pages comes again at the end (ASCENDING).
func (s *Simulator) history(q *query) stage.Answer {
	f, refused := readFilter(q)
	if refused != nil {
		return refused.answer()
	}
	var after mark
	if revision := q.URL.Query().Get("revision"); revision != "" {
		var ok bool
		if after, ok = readMark(revision, f.identity); !ok {
			return invalidRevision.answer()
		}
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	who, refused := s.customer(q)
	if refused != nil {
		return refused.answer()
	}
	var list []*sale
	for _, t := range who.sales {
		seen := after.At != 0 && t.changed <= after.At
		if f.descending {
			seen = after.At != 0 && t.changed >= after.At
		}
		if f.fits(t) && !seen {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *sale) int {
		if f.descending {
			a, b = b, a
		}
		return cmp.Compare(a.changed, b.changed)
	})
	more := len(list) > pageSize
	list = list[:min(len(list), pageSize)]
	if len(list) > 0 {
		after = mark{Filters: f.identity, At: list[len(list)-1].changed}
	}
	after.Filters = f.identity
	answer := s.about(q, "signedTransactions", s.signAll(list))
	answer["revision"], answer["hasMore"] = after.String(), more
	return stage.JSON(http.StatusOK, answer)
}

func (s *Simulator) signAll(list []*sale) []string {
	signed := make([]string, 0, len(list))
	for _, t := range list {
		signed = append(signed, s.sign(s.authority, t.transaction))
	}
	return signed
}

// refunds lists what a customer was given back, by revocationDate.
func (s *Simulator) refunds(q *query) stage.Answer {
	var after mark
	identity := digest("refunds " + q.id)
	if revision := q.URL.Query().Get("revision"); revision != "" {
		var ok bool
		if after, ok = readMark(revision, identity); !ok {
			return invalidRevision.answer()
		}
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	who, refused := s.customer(q)
	if refused != nil {
		return refused.answer()
	}
	place := func(t *sale) string { return fmt.Sprintf("%020d %s", t.RevocationDate, t.TransactionID) }
	var list []*sale
	for _, t := range who.sales {
		if t.revoked() && !t.family() && place(t) > after.ID {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *sale) int { return cmp.Compare(place(a), place(b)) })
	more := len(list) > pageSize
	list = list[:min(len(list), pageSize)]
	if len(list) > 0 {
		after.ID = place(list[len(list)-1])
	}
	after.Filters = identity
	return stage.JSON(http.StatusOK, map[string]any{"signedTransactions": s.signAll(list), "revision": after.String(), "hasMore": more})
}
