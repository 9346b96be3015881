package apple

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"
)

// Mode says what a token is worth while nobody knows whether its certificates were
// revoked. Whatever the mode, a token under a certificate that is known to be revoked is
// refused.
type Mode string

// The modes of a release binary.
const (
	// RevocationSoft believes the token: an authority that cannot be asked stops no sale.
	RevocationSoft Mode = "soft"
	// RevocationHard answers fault.Unavailable until it is known: a stolen key that Apple
	// has revoked opens nothing, at the price that Apple's authority must have answered
	// lately. Apple's own libraries do so when their online checks are on.
	RevocationHard Mode = "hard"
)

// The reasons that revocation has.
const (
	// ErrRevoked: Apple revoked the leaf or the intermediate. The day of the revocation
	// makes no difference, since whoever has the key can write any date into a token.
	ErrRevoked Reason = "a certificate of the chain was revoked"
	// ErrRevocation: in RevocationHard, there is no answer of the authority that still
	// counts (fault.Unavailable).
	ErrRevocation Reason = "whether the certificates are revoked is not known"
)

// ParseMode reads a Mode as configuration has it. Nothing is not a mode.
func ParseMode(text string) (Mode, error) {
	mode := Mode(text)
	if !mode.known() {
		return "", fmt.Errorf("apple: revocation mode %q: want %s", text, modes)
	}
	return mode, nil
}

func (m Mode) known() bool { return m == RevocationSoft || m == RevocationHard || m.off() }

// Chain is what may be revoked of a chain that leads to one of our roots. The root is
// above that: who does not trust it any more takes it out of the configuration.
type Chain struct {
	Leaf, Intermediate *x509.Certificate
}

// fingerprint names the chain: SHA-256 of both certificates in DER, in hexadecimal.
func (c Chain) fingerprint() string {
	hash := sha256.New()
	hash.Write(c.Leaf.Raw)
	hash.Write(c.Intermediate.Raw)
	return hex.EncodeToString(hash.Sum(nil))
}

// Standing is what is known about a chain.
type Standing struct {
	State StandingState
	// Until is when StandingGood ends; zero if it does not, because the certificates have
	// ended and nobody will say more about them.
	Until time.Time
}

// StandingState is what an authority said of a certificate, or of a chain as a whole.
type StandingState string

// The states, which are also those of OCSP (RFC 6960, 2.2).
const (
	// StandingUnknown: nothing was said, or it is too old, or the authority itself does
	// not know.
	StandingUnknown StandingState = "unknown"
	StandingGood    StandingState = "good"
	// StandingRevoked is final.
	StandingRevoked StandingState = "revoked"
)

// Revocations knows how chains stand. It answers from what is stored: a Verifier waits
// for no authority.
type Revocations interface {
	// Standing is asked only about chains that one of our roots stands above, and under
	// which the token at hand was signed. An error means that it could not be found out.
	// It may be called by several goroutines at once.
	Standing(ctx context.Context, c Chain) (Standing, error)
}

const (
	// standingLasts is how long an answer about a chain is kept in memory, and so how late
	// a revocation that is stored may be noticed. Apple's libraries keep theirs as long.
	standingLasts = 15 * time.Minute
	// ignoranceLasts is the same for RevocationSoft without an answer: the first tokens of
	// a chain come before its answer does, and an outage should not slow down every token.
	ignoranceLasts = time.Minute
)

// lookback is what a Verifier remembers of a chain's standing. It does not change.
type lookback struct {
	revoked     bool // for ever
	from, until time.Time
}

func (l *lookback) holdsAt(now time.Time) bool {
	return l != nil && (l.revoked || !now.Before(l.from) && now.Before(l.until))
}

// standing refuses a chain that was revoked, and in RevocationHard one of which that is
// not known. Everything else about the token must have been checked, so that nobody but
// Apple makes us read or write anything.
func (v *Verifier) standing(ctx context.Context, c *chain, now time.Time) error {
	if v.config.Revocation.off() {
		return nil
	}
	if seen := c.seen.Load(); seen.holdsAt(now) {
		if seen.revoked {
			return refused(ErrRevoked)
		}
		return nil
	}
	standing, err := v.config.Revocations.Standing(ctx, c.Chain)
	switch {
	case err == nil && standing.State == StandingRevoked:
		c.seen.Store(&lookback{revoked: true})
		return refused(ErrRevoked)
	case err == nil && standing.State == StandingGood && (standing.Until.IsZero() || now.Before(standing.Until)):
		until := now.Add(standingLasts)
		if !standing.Until.IsZero() && standing.Until.Before(until) {
			until = standing.Until
		}
		c.remember(&lookback{from: now, until: until})
		return nil
	case v.config.Revocation == RevocationSoft:
		c.remember(&lookback{from: now, until: now.Add(ignoranceLasts)})
		return nil
	case err != nil:
		return unknown(fmt.Errorf("%w: %w", ErrRevocation, err))
	}
	return unknown(ErrRevocation)
}

// remember never forgets that a chain was revoked, whoever read something older later.
func (c *chain) remember(l *lookback) {
	if seen := c.seen.Load(); seen == nil || !seen.revoked {
		c.seen.CompareAndSwap(seen, l)
	}
}
