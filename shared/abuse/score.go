package abuse

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Codes of the reasons.
const (
	CodeRefunds = "refunds"               // how many there are
	CodeBurst   = "refunds_in_a_month"    // several close together
	CodeSpent   = "spent_before_refund"   // what was bought is gone
	CodeSoon    = "refunded_soon"         // spent and refunded within days of the purchase
	CodeShare   = "share_of_paid"         // how much of the money came back
	CodeDebt    = "wallet_debt"           // the wallet owes units
	CodeCap     = "score_ends_at_hundred" // below zero: what is above MostPoints
)

// What a score is made of, in points of 100. Every part can only grow with one more refund
// and only shrink with one less: that is what a new part has to keep.
const (
	// The first refund is everybody's: a child, a wrong tap, a game that did not start.
	pointsFirst = 1
	// Each further one. Ten within weeks, none of them spent, are half a score by that: trying and
	// returning is a nuisance, and takes nothing.
	pointsFurther = 5

	// What was spent was had for nothing; nothing weighs more. One such order is worth a note
	// when something else comes to it, two are half a score.
	pointsSpent = 25
	// To buy, spend and ask for the money at once is a method; to be sorry after weeks is
	// not. 48 hours is how long Google asks little before it gives the money back.
	pointsSoon = 10
	soon       = 48 * time.Hour

	// Refunds come in runs where somebody has found out that they work. A run ends at five,
	// for a parent who finds what a child bought has all of it undone at once.
	pointsBurst = 6 // for each after the first of the run
	mostBurst   = 4 // of those
	burst       = 30 * 24 * time.Hour

	// All of the money came back. Below ten refunds it is never all of it, since one of one
	// says nothing of what will become of the second sale: one counts as a tenth at most.
	pointsShare   = 20
	fewestRefunds = 10

	// Later credits pay a debt; one that stands is harm not undone, however old the refund
	// is. Flat, for units of a wallet have no price.
	pointsDebt = 10

	// A refund is half as heavy after a quarter of a year, so that conduct of now outweighs
	// that of then, and nothing after a year: who went on for a year without another is a
	// customer like any, and what nobody remembers should not be held against anybody.
	halfLife = 90 * 24 * time.Hour
	lifetime = 365 * 24 * time.Hour
)

// Scales of the integers that stand for fractions: floating point may differ from one
// processor to another, and a score may not.
const (
	whole   = 1000      // of a weight, of a share spent, of a point
	million = 1_000_000 // of a share of money
)

// weighed is a refund, what it weighs by its age, and how much of it was spent.
type weighed struct {
	Refund
	weight int64 // 0 to whole
	spent  int64 // 0 to whole
}

// Assess says what the history comes to at now. Debt is what the wallet owes by its
// currencies, in units; others than above zero are no debt. The same arguments give the same
// answer, to the byte. The points of the reasons add up to the score; the heaviest comes
// first. One more refund never makes the score smaller, and one that is undone never greater;
// nor does time.
//
// Measures are those of the policy at this score, or those of the override in force whatever
// the score is.
func (h History) Assess(p Policy, debt map[string]int64, now time.Time) Assessment {
	refunds := h.weigh(now)
	a := Assessment{Reasons: []Reason{}}
	for _, r := range []Reason{
		spentBefore(refunds), spentSoon(refunds), number(refunds), run(refunds), h.share(refunds, now), owed(debt),
	} {
		if r.Points > 0 {
			a.Score += r.Points
			a.Reasons = append(a.Reasons, r)
		}
	}
	slices.SortStableFunc(a.Reasons, func(a, b Reason) int { return cmp.Compare(b.Points, a.Points) })
	if over := a.Score - MostPoints; over > 0 {
		a.Score = MostPoints
		a.Reasons = append(a.Reasons, Reason{
			Code: CodeCap, Points: -over, Detail: fmt.Sprintf("No score is above %d.", MostPoints),
		})
	}
	a.Measures = p.at(a.Score)
	if o := h.inForce(); o != nil {
		a.Override = o
		a.Measures = slices.Clone(o.Measures)
	}
	return a
}

// weigh is the refunds that still weigh something. Those that were forgotten are taken to be
// as late as the last of them and as bad as can be: so that forgetting never makes a score
// smaller, and only somebody with more than MostRefunds within a year is touched by it.
func (h History) weigh(now time.Time) []weighed {
	all := make([]weighed, 0, len(h.Refunds)+MostRefunds)
	for range min(h.forgotten(), MostRefunds) {
		all = append(all, weighed{
			Refund: Refund{At: h.ForgottenAt, PurchasedAt: h.ForgottenAt},
			weight: weight(now.Sub(h.ForgottenAt)), spent: whole,
		})
	}
	for _, r := range h.Refunds {
		all = append(all, weighed{r, weight(now.Sub(r.At)), r.spentShare()})
	}
	return slices.DeleteFunc(all, func(w weighed) bool { return w.weight == 0 })
}

// weight is what a refund of an age weighs, of whole: it halves with each halfLife, along a
// straight line between, and ends with its lifetime.
func weight(age time.Duration) int64 {
	if age >= lifetime {
		return 0
	}
	age = max(age, 0) // clocks differ
	from := int64(whole) >> (age / halfLife)
	return from - (from-from/2)*int64(age%halfLife/time.Second)/int64(halfLife/time.Second)
}

// spentShare is how much of what the sale granted was gone, of whole; nothing where it
// granted nothing to a wallet.
func (r Refund) spentShare() int64 {
	if r.Credited <= 0 {
		return 0
	}
	return part(r.Spent, r.Credited, whole)
}

// part is a/b of scale, rounded down, from 0 to scale, whatever a and b are. All of it
// where b is nothing.
func part(a, b, scale int64) int64 {
	if a <= 0 {
		return 0
	}
	if a >= b {
		return scale
	}
	if b > math.MaxInt64/scale { // so much that the last digits make no difference
		a, b = a/scale, b/scale
	}
	return a * scale / b
}

func number(refunds []weighed) Reason {
	var all, heaviest int64
	for _, r := range refunds {
		all += r.weight
		heaviest = max(heaviest, r.weight)
	}
	detail := "One refund within a year; the first costs next to nothing."
	if len(refunds) > 1 {
		detail = fmt.Sprintf("%d refunds within a year, of which the older weigh less.", len(refunds))
	}
	return Reason{CodeRefunds, points(all*pointsFurther - heaviest*(pointsFurther-pointsFirst)), detail, orders(refunds)}
}

func spentBefore(refunds []weighed) Reason {
	var all int64
	var of []weighed
	for _, r := range refunds {
		if r.spent > 0 {
			all += r.weight * r.spent * pointsSpent / whole
			of = append(of, r)
		}
	}
	return Reason{
		CodeSpent, points(all),
		fmt.Sprintf("%s after what had been bought was spent, in part or all of it.", came(of)), orders(of),
	}
}

func spentSoon(refunds []weighed) Reason {
	var all int64
	var of []weighed
	for _, r := range refunds {
		if r.spent > 0 && !r.PurchasedAt.IsZero() && r.At.Sub(r.PurchasedAt) <= soon {
			all += r.weight * r.spent * pointsSoon / whole
			of = append(of, r)
		}
	}
	return Reason{
		CodeSoon, points(all),
		fmt.Sprintf("%s within %d hours of the purchase, of what was spent by then.", came(of), soon/time.Hour), orders(of),
	}
}

// run is the heaviest run of refunds within a month; it weighs what its last one does.
func run(refunds []weighed) Reason {
	var heaviest int64
	var of []weighed
	for _, last := range refunds {
		var in []weighed
		for _, r := range refunds {
			if before := last.At.Sub(r.At); before >= 0 && before < burst {
				in = append(in, r)
			}
		}
		if w := last.weight * pointsBurst * int64(min(len(in)-1, mostBurst)); w > 0 && w >= heaviest {
			heaviest, of = w, in
		}
	}
	return Reason{CodeBurst, points(heaviest), fmt.Sprintf("%s within %d days.", came(of), burst/(24*time.Hour)), orders(of)}
}

// share is the greatest share of what was paid in one currency that came back, each refund
// by its weight.
func (h History) share(refunds []weighed, now time.Time) Reason {
	var most, all int64
	for _, r := range refunds {
		all += r.weight
	}
	forgotten := weight(now.Sub(h.ForgottenAt))
	var best Reason
	for _, currency := range slices.Sorted(maps.Keys(h.Returned)) {
		var returned int64
		var of []weighed
		for _, r := range refunds {
			if r.Amount > 0 && r.Currency == currency {
				returned += r.weight * part(r.Amount, h.Paid[currency], million) / whole
				of = append(of, r)
			}
		}
		returned += forgotten * part(h.forgottenMoney(currency), h.Paid[currency], million) / whole
		returned = min(returned, million)
		if counted := min(returned, all*million/whole/fewestRefunds); counted > most {
			most = counted
			best.Detail = fmt.Sprintf("Of what was paid in %s, %d %% came back, older refunds weighing less.", currency, percent(returned))
			if counted < returned {
				best.Detail += fmt.Sprintf(" So few refunds count as %d %%.", percent(counted))
			}
			if h.Paid[currency] <= 0 {
				best.Detail = fmt.Sprintf("Money in %s came back, and no sale in it is known.", currency)
			}
			best.Orders = orders(of)
		}
	}
	best.Code, best.Points = CodeShare, points(most*pointsShare/(million/whole))
	return best
}

func owed(debt map[string]int64) Reason {
	var of []string
	for _, currency := range slices.Sorted(maps.Keys(debt)) {
		if debt[currency] > 0 {
			of = append(of, fmt.Sprintf("%d %s", debt[currency], currency))
		}
	}
	if len(of) == 0 {
		return Reason{}
	}
	named := strings.Join(of[:min(len(of), MostCurrencies)], ", ")
	if len(of) > MostCurrencies {
		named += " and more"
	}
	return Reason{Code: CodeDebt, Points: pointsDebt, Detail: "The wallet owes " + named + "."}
}

// points rounds thousandths of a point. A part that only grows does so rounded as well.
func points(thousandths int64) int { return int((thousandths + whole/2) / whole) }

// percent rounds millionths.
func percent(millionths int64) int64 { return (millionths + million/200) / (million / 100) }

// orders is what refunds are known by, the oldest first; one that was forgotten has no name left.
func orders(refunds []weighed) []string {
	var ids []string
	for _, r := range refunds {
		if r.OrderID != "" {
			ids = append(ids, r.OrderID)
		}
	}
	return ids
}

func came(refunds []weighed) string {
	if len(refunds) == 1 {
		return "1 refund came"
	}
	return fmt.Sprintf("%d refunds came", len(refunds))
}
