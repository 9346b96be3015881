package teeth

const (
	refund  = "shared/billing/refund.go"
	again   = "shared/billing/again.go"
	compare = "shared/billing/compare.go"
	demand  = "shared/billing/demand.go"
)

// refunding are faults of money that goes back, of the gateway's word, and of charges on demand.
func refunding() []Fault {
	return []Fault{
		{
			Name: "refund-sent-again-without-a-key", Is: "a refund without an answer is asked for again at a gateway that makes two of it",
			Edits: edit(refund, `	if unsure && (!gateway.Repeats() || now.Sub(r.AskedAt) > keyLife) {`, `	if unsure && now.Sub(r.AskedAt) > keyLife {`),
			Run:   inSet("refund-same"), Breaks: "no more is given back than was asked for",
		},
		{
			Name: "refund-without-its-lock", Is: "a refund has another key each time, and does not say what was left before",
			Edits: []Edit{
				{refund, `Key: "gl_refund_" + short(hash(identity...)), OrderID`, `Key: "gl_refund_" + short(hash(append(identity, strconv.Itoa(r.Sends))...)), OrderID`},
				{refund, `Left: r.Left, TaxFree: r.TaxFree, Whole`, `Left: 0, TaxFree: r.TaxFree, Whole`},
			},
			Run: inCharging, Breaks: "no more is given back than was asked for",
		},
		{
			Name: "refund-key-of-each-send", Is: "a refund has another key each time that it is sent",
			Edits: edit(refund, `Key: "gl_refund_" + short(hash(identity...)), OrderID`, `Key: "gl_refund_" + short(hash(append(identity, strconv.Itoa(r.Sends))...)), OrderID`),
			// At Toss the balance refuses what comes again under another key.
			Run: Run{Of: "shared/billing", Test: "TestARefundComesToItsEndHoweverTheGatewayBehaves"}, Breaks: "no more is given back than was asked for",
		},
		{
			Name: "refund-without-balance", Is: "a refund does not say what was left before",
			Edits: edit(refund, `Left: r.Left, TaxFree: r.TaxFree, Whole`, `Left: 0, TaxFree: r.TaxFree, Whole`),
			Run:   inCharging, Breaks: "nothing is stuck",
		},
		{
			Name: "refund-absent-is-asked-again", Is: "a refund that the gateway does not show at once is sent again",
			Edits: edit(refund, `		if now.Sub(r.SentAt) >= quietUnrepeated && now.Sub(r.AbsentSince) >= finalAfter {`, `		if now.Sub(r.AbsentSince) >= 0 {`),
			Run:   inCharging, Breaks: "no more is given back than was asked for",
		},
		{
			Name: "refund-counted-twice", Is: "the answer of a refund that is done is counted again",
			Edits: edit(refund, `		if i < 0 || !c.Refunds[i].open() {`, `		if i < 0 {`),
			Run:   inCharging, Breaks: "what the books gave back is what the gateway gave back",
		},
		{
			Name: "refunds-at-once", Is: "a second refund is asked for while one is under way",
			Edits: edit(refund, `		if r.open() && r.Stray == "" {
			return c, false, fault.New(fault.Unavailable`, `		if r.open() && r.Reference == "" {
			return c, false, fault.New(fault.Unavailable`),
			Run: inSet("refund-two"), Breaks: "no more is given back than was taken",
		},
		{
			Name: "refusal-of-a-repeat-believed", Is: "a refusal is believed that is of what an earlier send has done",
			Edits: edit(refund, `	if r.Unsure && o.Result == Refused {`, `	if r.Unsure && o.Result == "" {`),
			Run:   inSet("refund-forgotten"), Breaks: "what the books gave back is what the gateway gave back",
		},
		{
			Name: "given-back-with-each-look", Is: "what should not have been taken is given back each time that it is found",
			Edits: edit(refund, `		known := slices.ContainsFunc(c.Refunds, func(o Refund) bool { return o.Reference == r.Reference })`,
				`		known := slices.ContainsFunc(c.Refunds[:0], func(o Refund) bool { return o.Reference == r.Reference })`),
			Run: inSet("charge-tried"), Breaks: "no more is given back than was taken",
		},
		{
			Name: "own-refund-adopted", Is: "a refund of ours that is under way is taken for one made elsewhere as well",
			Edits: edit(again, `		returned := min(p.Returned, c.Amount)
		ours := slices.ContainsFunc(c.Refunds,`, `		returned := min(p.Returned, c.Amount)
		ours := slices.ContainsFunc(c.Refunds[:0],`),
			Run: inCharging, Breaks: "what the books gave back is what the gateway gave back",
		},
		{
			Name: "webhook-believed", Is: "a payment that a notice names was taken, without a look",
			Edits: edit(again, `	found := s.weighed(c, b.find(ctx, gateway, asked, l, s.CustomerKey), b.Clock.Now())
	b.noted`, `	found := s.weighed(c, b.find(ctx, gateway, asked, l, s.CustomerKey), b.Clock.Now())
	if c.open() && h.Payment != "" {
		found = Outcome{Result: Taken, Payment: Payment{Key: h.Payment, Amount: c.Amount, Currency: c.Currency}}
	}
	b.noted`),
			Run: inCharging, Breaks: "no record without money",
		},
		{
			Name: "late-money-kept", Is: "money that turns up under an order that was closed without is passed over",
			Edits: edit(again, `	if !own {
		why :=`, `	if own {
		why :=`),
			Run: inCharging, Breaks: "no money without a record",
		},
		{
			Name: "dispute-won-is-not-heard", Is: "money that a bank gave us again stays given back in the books",
			Edits: edit(again, `		if rest == back {`, `		if rest <= back {`),
			Run:   inCharging, Breaks: "what the books gave back is what the gateway gave back",
		},
		{
			Name: "dispute-won-gives-all-or-nothing", Is: "what one look had adopted, the bank's part and another, comes back whole or not at all",
			Edits: edit(again, `		if rest > 0 {`, `		if rest < 0 {`),
			Run:   Run{Of: "shared/billing", Test: "TestADisputeThatIsWonRestoresItsPartOfWhatOneLookAdopted"}, Breaks: "what the books gave back is what the gateway gave back",
		},
		{
			Name: "given-back-and-pays", Is: "a payment that is being given back pays the order that is made again",
			Edits: edit(charge, `	if !c.open() || o.Result != Taken {`, `	if o.Result != "" || !c.open() {`),
			Run:   Run{Of: "shared/billing", Test: "TestAPaymentThatIsBeingGivenBackDoesNotPayTheOrderMadeAgain"}, Breaks: "no record without money",
		},
		{
			Name: "comparison-looks-at-nothing", Is: "the day's statement is read, and nothing follows from it",
			Edits: edit(compare, `	case e.Taken > 0, e.Returned > 0 && own && o.Refunded < o.Amount:`, `	case e.Taken < 0:`),
			Run:   inCharging, Breaks: "what the books gave back is what the gateway gave back",
		},
		{
			Name: "comparison-skips-days", Is: "after an outage only yesterday is compared",
			Edits: edit(compare, `		from = from.Add(day)
	}
	ready`, `		from = now.Truncate(day).Add(-day)
	}
	ready`),
			Run: Run{Of: "shared/billing", Test: "TestAfterDaysWithoutAComparisonEachOfThemIsCompared"}, Breaks: "what the books gave back is what the gateway gave back",
		},
		{
			Name: "demand-sent-while-it-is-sent", Is: "a charge on demand that somebody is at is claimed again",
			Edits: edit(demand, `		if mine = was.ID == "" || was.State == Void; !mine {`, `		if mine = !was.settled(); !mine {`),
			Run:   Run{Sets: "demand-same", Paths: 10_000}, Breaks: "one success for each order",
		},
		{
			Name: "demand-read-before-claim", Is: "a charge on demand is made though the agreement ended before its claim",
			Edits: edit(demand, `	if refusal := fresh.demandable(); refusal != nil || !bytes.Equal(fresh.BillingKey, s.BillingKey) {`,
				`	if refusal := fresh.demandable(); refusal == nil && !bytes.Equal(fresh.BillingKey, s.BillingKey) {`),
			Run: inSet("demand-cancel"), Breaks: "nothing after \"you will not be charged\"",
		},
	}
}
