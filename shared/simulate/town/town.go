// Package town is the whole of the simulation: a company's deployment, the gateways and stores
// that it sells through, the servers that it tells, the people of each quarter, and the
// weather. A seed makes one town and lets it live for a span; twice, in the middle and at the
// end, the weather is calm for long enough that everything must have settled, and all books
// are held against each other.
package town

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"grantline/shared/billing"
	"grantline/shared/catalog"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
	"grantline/shared/simulate/bank"
	"grantline/shared/simulate/charging"
	"grantline/shared/simulate/deployment"
	"grantline/shared/simulate/selling"
	"grantline/shared/simulate/shop"
	"grantline/shared/simulate/telling"
	"grantline/shared/simulate/version"
	"grantline/shared/table"
)

// Start is when towns begin; their zones' clocks change some months later.
var Start = time.Date(2040, 1, 10, 3, 4, 5, 0, time.UTC)

// Worlds are what may be lived in: one quarter, or all of them at once.
var Worlds = []string{"charging", "selling", "telling", "all"}

// Config is what all seeds of a run have in common.
type Config struct {
	World   string
	People  int           // of each quarter
	Span    time.Duration // until when they act
	Faults  simulate.Faults
	Without map[string]bool // layers that are switched off, see deployment.Options
	// Versions has code of another version, Older, be at work as well.
	Versions Versions
	Older    version.New
}

// Versions says when the older code is at work.
type Versions string

// The ways in which two versions of the code live together. One: there is but one.
const (
	One     Versions = ""
	Rolling Versions = "rolling" // the older one until the release, both while it rolls out; every other town goes back once
	Both    Versions = "both"    // both all the time, invocation by invocation
	Alone   Versions = "alone"   // the older one all the time: what is broken here is its own
)

// Result is what became of a seed.
type Result struct {
	Seed     uint64
	Steps    uint64 // crossings of ports
	Print    uint64 // follows from all that happened
	Attempts int    // of charges at gateways
	Payments int    // of them, money taken
	Returned int    // refunds
	Sold     int    // by stores
	Spends   int    // of wallets
	Told     int    // requests to servers
	Alarms   int    // times that a person was called
	Dead     int    // messages that went to dead letters
	Older    int    // invocations of the older code
	Newer    int
	Broken   *simulate.Violation
	Story    string // of a broken seed, what happened last
}

// quarter is part of a town whose people can hold still.
type quarter interface {
	Calm(is bool)
	AtRest()
}

// rest is how long it is calm before books are held against each other: longer than the
// longest that a quarter needs.
const rest = max(6*24*time.Hour, charging.Settles, telling.Settle)

// Run lives through a seed.
func Run(seed uint64, c Config) Result {
	weather := simulate.NewWeather(seed, c.Faults)
	w := simulate.New(seed, Start, weather)
	defer w.Close()
	o := deployment.Options{
		Gateways: map[string]billing.Gateway{}, Stores: map[string]purchase.Store{}, Histories: map[string][]notice.History{},
		Catalog: parsed(goods), Releases: releases(w, c, seed), Outages: outages(c), Span: c.Span, Without: c.Without,
	}
	t := &streets{w: w, weather: weather, c: c, o: &o, burst: seed%burstEach == 0}
	t.build()
	middle, end := Start.Add(c.Span/2), Start.Add(c.Span)
	for _, until := range []time.Time{middle, end} {
		if w.Run(until) != nil {
			break
		}
		weather.Faults = simulate.Faults{}
		t.calm(true)
		if w.Run(until.Add(rest)) != nil {
			break
		}
		t.noticesAtRest()
		for _, q := range t.quarters {
			q.AtRest()
		}
		weather.Faults = c.Faults
		t.calm(false)
		if w.Violated() != nil {
			break
		}
	}
	r := Result{Seed: seed, Steps: w.Steps(), Print: w.Print(), Broken: w.Violated(), Older: t.d.Older, Newer: t.d.Newer}
	for _, n := range t.d.Alarms {
		r.Alarms += n
	}
	for _, q := range t.d.Charges {
		r.Dead += q.Died
	}
	r.Dead += t.d.Notices.Died + t.d.Wakes.Died
	if t.charging != nil {
		r.Attempts, r.Payments, r.Returned = t.charging.Attempts, t.charging.Taken, t.charging.Returned
	}
	if t.selling != nil {
		r.Sold, r.Spends = t.selling.Sold, t.selling.Spends
	}
	if t.telling != nil {
		r.Told = t.telling.Requests
	}
	if r.Broken != nil {
		r.Story = "about it:\n" + w.Story.Last(120, names.FindAllString(r.Broken.Detail, -1)...) + "\nall:\n" + w.Story.Last(20)
	}
	return r
}

// names are of whom and what a broken promise may be about.
var names = regexp.MustCompile(`\b(gl|cus|apple|play|appsintoss)_[A-Za-z0-9:_.-]*[A-Za-z0-9]|\b(sub|person|demand|buyer|sale|order)-[0-9]+`)

// burstEach is of how many towns one is where all are due in the same minute, of accounts whose
// pace is slow.
const burstEach = 8

// restores are what companies do where a purchase is claimed that is another's: most keep it.
var restores = [burstEach]purchase.RestorePolicy{3: purchase.Transfer, 5: purchase.TransferIfInactive, 7: purchase.Share}

// releases are two: the second comes in the middle of the span, with more shards, a shorter
// lease and another pace, and for some hours both are at work.
func releases(w *simulate.World, c Config, seed uint64) []deployment.Settings {
	first := deployment.Defaults()
	first.Older = c.Versions != One
	first.Restore = restores[seed%burstEach]
	second := first
	second.Older = false
	second.Since = Start.Add(c.Span/4 + time.Duration(w.Dice.Int64N(int64(c.Span/8))))
	second.Rolls = time.Duration(w.Dice.Int64N(int64(6 * time.Hour)))
	second.Shards, second.Lease, second.TossPace, second.DodoPace = 2, 100*time.Second, 200, 60
	if seed%burstEach == 0 {
		first.TossPace, first.DodoPace, second.TossPace, second.DodoPace = 5, 3, 4, 2
		first.Shards, second.Shards = 2, 3
	}
	switch {
	case c.Versions == Both: // and nothing but their code differs
		both := first
		both.Older, both.Since, both.Rolls = false, Start, 100*365*24*time.Hour
		return []deployment.Settings{first, both}
	case c.Versions == Alone:
		second.Older = true
	case c.Versions == Rolling && seed%2 == 0:
		back, again := second, second
		back.Older, back.Since = true, second.Since.Add(second.Rolls+time.Duration(w.Dice.Int64N(int64(c.Span/8))))
		again.Since = back.Since.Add(back.Rolls + time.Duration(w.Dice.Int64N(int64(c.Span/8))))
		return []deployment.Settings{first, second, back, again}
	}
	return []deployment.Settings{first, second}
}

// paces are the fastest of the releases.
func paces(releases []deployment.Settings) map[string]int {
	p := map[string]int{}
	for _, s := range releases {
		p["toss"], p["dodo"] = max(p["toss"], s.TossPace), max(p["dodo"], s.DodoPace)
	}
	return p
}

// crowd has whoever is asked ask for a slower pace for some minutes, in three months in which all
// are due at once; and in the three after those the tables be out of reach for longer than a
// message is tried, just when it was handed over.
func (t *streets) crowd() {
	usual := t.c.Faults
	for month := range 3 {
		busy, out := usual, usual
		busy.CallBusy, out.TableLost = 60_000, 100_000
		t.spell(Start.AddDate(0, month+1, 0), 12*time.Minute, busy)
		t.spell(Start.AddDate(0, month+4, 0).Truncate(time.Minute).Add(2*time.Minute+300*time.Millisecond), 100*time.Minute, out)
	}
}

// spell is other weather for some time, where it is not calm.
func (t *streets) spell(from time.Time, lasts time.Duration, is simulate.Faults) {
	t.w.At(from, func() {
		if t.weather.Faults != t.c.Faults {
			return
		}
		t.weather.Faults = is
		t.w.After(lasts, func() {
			if t.weather.Faults == is {
				t.weather.Faults = t.c.Faults
			}
		})
	})
}

// longestOutage is deployment's.
const longestOutage = 8 * time.Hour

// outages of the schedules, up to eight hours each: six in two years, if anything goes wrong.
func outages(c Config) int {
	if c.Faults == (simulate.Faults{}) {
		return 0
	}
	return max(1, int(c.Span/(120*24*time.Hour)))
}

// streets is a town as it is being built.
type streets struct {
	w        *simulate.World
	weather  *simulate.Weather
	c        Config
	o        *deployment.Options
	burst    bool
	d        *deployment.Deployment
	quarters []quarter
	charging *charging.Quarter
	selling  *selling.Quarter
	telling  *telling.Quarter
}

func (t *streets) lives(world string) bool { return t.c.World == world || t.c.World == "all" }

func (t *streets) calm(is bool) {
	for _, q := range t.quarters {
		q.Calm(is)
	}
}

// goods is what all quarters sell.
var goods = []byte(`{"products": ` + selling.Products + `, "plans": ` + charging.Plans + `}`)

func parsed(goods []byte) *catalog.Catalog {
	c, err := catalog.Parse(goods)
	if err != nil {
		panic("town: " + err.Error())
	}
	return c
}

func (t *streets) build() {
	var toss *bank.Toss
	var dodo *bank.Dodo
	var post *charging.Post
	var shops *shop.Street
	var servers *telling.Servers
	calm := t.c.Faults == (simulate.Faults{})
	if t.lives("charging") {
		h := bank.Habits{}
		if !calm {
			h = bank.Bad()
		}
		h.Tax = 0
		h.Hooks = func(h notice.Hint) { t.d.Receive(h) }
		toss, dodo = bank.NewToss(t.w, h), bank.NewDodo(t.w, h)
		t.o.Gateways["toss"], t.o.Gateways["dodo"] = toss, dodo
		post = charging.NewPost(t.w)
		t.o.Courier = post
	}
	habits := shop.Habits{}
	if !calm {
		habits = shop.Unkind()
	}
	if t.lives("selling") {
		shops = shop.Open(t.w, t.o.Catalog, habits)
		t.o.Stores, t.o.Histories = shops.Stores(), shops.Histories()
	}
	if t.lives("telling") {
		servers = telling.NewServers()
		t.o.Endpoints = servers
	}
	if t.c.Versions != One {
		t.o.Older = &deployment.Older{New: t.c.Older, Catalog: goods, Gateways: map[string]http.RoundTripper{}}
		if toss != nil {
			t.o.Older.Gateways["toss"], t.o.Older.Gateways["dodo"] = toss.Transport(), dodo.Transport()
		}
	}
	t.d = deployment.New(t.w, *t.o)
	if t.lives("telling") {
		t.telling = telling.New(t.d, telling.Options{Servers: servers, Customers: t.c.People, Span: t.c.Span, Out: time.Duration(outages(t.c)) * longestOutage, Sandbox: true})
		t.quarters = append(t.quarters, t.telling)
	}
	if t.lives("charging") {
		t.charging = charging.New(t.d, toss, dodo, charging.Options{People: t.c.People, Span: t.c.Span, Burst: t.burst, Calm: calm, Post: post, Paces: paces(t.o.Releases)})
		t.quarters = append(t.quarters, t.charging)
		if t.burst && !calm {
			t.crowd()
		}
	}
	if t.lives("selling") {
		t.selling = selling.New(t.d, selling.Options{Shops: shops, Habits: habits, People: t.c.People, Span: t.c.Span})
		t.quarters = append(t.quarters, t.selling)
	}
}

// justNow is for how long a notice may be on its way at rest.
const justNow = 6 * time.Hour

// noticesAtRest: whatever came in was looked at, or lies among the dead letters.
func (t *streets) noticesAtRest() {
	if _, dead := t.d.Notices.Len(); dead > 0 {
		return // which of them they are nobody can say
	}
	for _, item := range t.d.Tables.Kept().Items(table.Notices) {
		var n notice.Notice
		if json.Unmarshal(item.Data, &n) != nil || n.ID == "" {
			continue // how far a history was read
		}
		if n.State == notice.Received && n.ReceivedAt.Before(t.w.Now().Add(-justNow)) {
			t.w.Fail("every accepted notice is applied or a dead letter", "%s of %s, %s, is only received (%s)", n.ID, n.Provider, n.Type, n.Detail)
			return
		}
	}
}

// Known says whether there is such a world, with that many versions.
func (c Config) Known() error {
	if !slices.Contains(Worlds, c.World) {
		return fmt.Errorf("there is no world %q; there are %s", c.World, strings.Join(Worlds, ", "))
	}
	switch c.Versions {
	case One, Rolling, Both, Alone:
		return nil
	}
	return fmt.Errorf("versions are %s, %s, %s, or nothing said of them", Rolling, Both, Alone)
}
