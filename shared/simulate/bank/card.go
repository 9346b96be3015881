package bank

import (
	"math/rand/v2"
	"time"

	"grantline/shared/billing"
)

// Card is a customer's means of payment. Whoever plays its bank sets Mood, also later.
type Card struct {
	Name string
	Mood Mood // nil approves
}

// Mood is what a bank says to a charge of a card. It crosses nothing.
type Mood func(c *Card, at time.Time) Reason

func (c *Card) ask(at time.Time) Reason {
	if c == nil || c.Mood == nil {
		return Approved
	}
	return c.Mood(c, at)
}

// Always is a bank that says one thing.
func Always(r Reason) Mood { return func(*Card, time.Time) Reason { return r } }

// Sometimes is a bank that declines so many charges in 100, each for one of the reasons.
func Sometimes(dice *rand.Rand, percent int, reasons ...Reason) Mood {
	return func(*Card, time.Time) Reason {
		if int(dice.Uint32N(100)) >= percent {
			return Approved
		}
		return reasons[dice.IntN(len(reasons))]
	}
}

// InTurn is a bank that says one thing after another, and the last one for ever.
func InTurn(reasons ...Reason) Mood {
	return func(*Card, time.Time) Reason {
		r := reasons[0]
		if len(reasons) > 1 {
			reasons = reasons[1:]
		}
		return r
	}
}

// Reason is what a bank says, whatever a gateway makes of it.
type Reason uint8

// The reasons.
const (
	Approved  Reason = iota
	Poor             // there is no money on it
	Limited          // used too often today
	Unnamed          // declined, it may be anything
	Resting          // the bank is at its maintenance; at Dodo that counts as soft
	Expired          // its time is over
	Stolen           // reported so
	Stopped          // by its bank
	Garbled          // the gateway says something that decides nothing, and no money was taken
	Ambiguous        // the same, and it was; at Dodo, where payments are decided, this is Approved
	reasons
)

// word is how a gateway says something: the status and code of its answer, and what that means
// for an attempt.
type word struct {
	status int
	code   string
	means  billing.Result
	class  billing.Class
}

// How each gateway says it (Toss Payments, "Error codes"; Dodo Payments, "Transaction Failures").
var (
	tossWords = [reasons]word{
		Poor:      {403, "REJECT_CARD_PAYMENT", billing.Refused, billing.Soft},
		Limited:   {400, "EXCEED_MAX_DAILY_PAYMENT_COUNT", billing.Refused, billing.Soft},
		Unnamed:   {403, "REJECT_CARD_COMPANY", billing.Refused, billing.Soft},
		Resting:   {403, "NOT_AVAILABLE_BANK", billing.Refused, billing.Passing},
		Expired:   {400, "INVALID_CARD_EXPIRATION", billing.Refused, billing.Hard},
		Stolen:    {400, "INVALID_CARD_LOST_OR_STOLEN", billing.Refused, billing.Hard},
		Stopped:   {400, "INVALID_STOPPED_CARD", billing.Refused, billing.Hard},
		Garbled:   {400, "PROVIDER_ERROR", billing.Unclear, ""},
		Ambiguous: {400, "PROVIDER_ERROR", billing.Unclear, ""},
	}
	dodoWords = [reasons]word{
		Poor:    {0, "INSUFFICIENT_FUNDS", billing.Refused, billing.Soft},
		Limited: {0, "CARD_VELOCITY_EXCEEDED", billing.Refused, billing.Soft},
		Unnamed: {0, "GENERIC_DECLINE", billing.Refused, billing.Soft},
		Resting: {0, "ISSUER_UNAVAILABLE", billing.Refused, billing.Soft},
		Expired: {0, "EXPIRED_CARD", billing.Refused, billing.Hard},
		Stolen:  {0, "STOLEN_CARD", billing.Refused, billing.Hard},
		Stopped: {0, "DO_NOT_HONOR", billing.Refused, billing.Hard},
		Garbled: {0, "UNKNOWN_ERROR", billing.Refused, billing.Soft},
	}
)

// Code is how a gateway (toss, dodo) says it, and the class that it has for us; "" approves.
func (r Reason) Code(gateway string) (string, billing.Class) {
	w := dodoWords[r]
	if gateway == "toss" {
		w = tossWords[r]
	}
	return w.code, w.class
}
