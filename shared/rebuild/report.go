package rebuild

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
)

// Kind is what is wrong.
type Kind string

// The kinds of a finding.
const (
	MissingEvent   Kind = "missing_event"    // the numbers of a customer's events leave one out
	Misnumbered    Kind = "misnumbered"      // an event says another number than the one it is kept under
	WrongSequence  Kind = "sequence"         // the head counts other events than there are
	WrongSources   Kind = "sources"          // what the head says is given is not what the events come to
	WrongLots      Kind = "lots"             // likewise of a wallet's open lots
	WrongDebt      Kind = "debt"             // likewise of its debt
	WrongLedger    Kind = "ledger"           // a currency's entries do not add up to its balance
	NoSuchOrder    Kind = "no_such_order"    // an event, or what is given, is of an order that is not there
	NoSuchCustomer Kind = "no_such_customer" // events or an order are of a customer without a head
	WrongCredit    Kind = "credit"           // the entries of an order are not what it credited less what it took back
	NeverGiven     Kind = "never_given"      // an order was granted, and no event ever gave its customer anything for it
	StillGiven     Kind = "still_given"      // an order was refunded, and what it gave is given all the same
	// Unreadable is an item that nothing here can read, Unsettled what kept changing while it
	// was read. Neither was compared.
	Unreadable Kind = "unreadable"
	Unsettled  Kind = "unsettled"
)

// Finding is one thing that is wrong. It holds nothing personal and no store's or gateway's
// name of anything.
type Finding struct {
	Kind     Kind   `json:"kind"`
	Customer string `json:"customer,omitempty"` // our own id
	Order    string `json:"order,omitempty"`    // OrderHash of its id
	Currency string `json:"currency,omitempty"` // of a wallet
}

// OrderHash is how a finding names an order: the first 16 hex digits of its id's SHA-256.
func OrderHash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:8])
}

// mostListed bounds the findings that are listed one by one; all of them are counted.
const mostListed = 100

// Report is what was looked at and what was found.
type Report struct {
	// Equal says that nothing is wrong with what this report is about.
	Equal     bool `json:"equal"`
	Customers int  `json:"customers"`
	Events    int  `json:"events"`
	Orders    int  `json:"orders"`
	// Older are customers whose events do not have all of what they hold, because it was there
	// before that was kept. They are compared as far as the events go.
	Older    int          `json:"older"`
	Counts   map[Kind]int `json:"counts"`
	Findings []Finding    `json:"findings"` // 100 at most
	// Cursor is where to go on; "" at the end.
	Cursor string `json:"cursor,omitempty"`
}

func newReport() Report {
	return Report{Equal: true, Counts: map[Kind]int{}, Findings: []Finding{}}
}

func (r *Report) add(found ...Finding) {
	for _, f := range found {
		r.Equal = false
		r.Counts[f.Kind]++
		if len(r.Findings) < mostListed {
			r.Findings = append(r.Findings, f)
		}
	}
}

// And is both reports as one, which goes on where the second one does.
func (r Report) And(o Report) Report {
	sum := newReport()
	sum.Equal = r.Equal && o.Equal
	sum.Customers, sum.Events, sum.Orders, sum.Older = r.Customers+o.Customers, r.Events+o.Events, r.Orders+o.Orders, r.Older+o.Older
	maps.Copy(sum.Counts, r.Counts)
	for kind, n := range o.Counts {
		sum.Counts[kind] += n
	}
	sum.Findings = append(sum.Findings, r.Findings...)
	sum.Findings = append(sum.Findings, o.Findings[:min(len(o.Findings), mostListed-len(sum.Findings))]...)
	sum.Cursor = o.Cursor
	return sum
}
