package apple_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/apple"
	"grantline/shared/clock"
	"grantline/shared/fault"
)

func TestGenuineTransactionIsReadInFull(t *testing.T) {
	const account = "7E3FB204-2EC1-4C1C-8D6E-0E7B9A6F1C11"
	a := genuine(t)
	got, err := newVerifier(t, a.certs[root]).Transaction(t.Context(), a.sign(payload))
	if err != nil {
		t.Fatal(err)
	}
	want := apple.Transaction{
		TransactionID:               "2000000912345678",
		OriginalTransactionID:       "2000000812345678",
		WebOrderLineItemID:          "2000000099887766",
		AppTransactionID:            "704897469903783919",
		BundleID:                    "com.example.app",
		ProductID:                   "com.example.premium.monthly",
		SubscriptionGroupIdentifier: "21500001",
		Type:                        apple.AutoRenewable,
		Ownership:                   apple.Purchased,
		AppAccountToken:             account,
		Environment:                 apple.Production,
		PurchaseDate:                time.Date(2026, 1, 15, 11, 55, 0, 0, time.UTC),
		OriginalPurchaseDate:        time.Date(2025, 12, 15, 11, 55, 0, 0, time.UTC),
		ExpiresDate:                 time.Date(2026, 2, 15, 11, 55, 0, 0, time.UTC),
		SignedDate:                  signedAt,
		Quantity:                    1,
		Storefront:                  "KOR",
		StorefrontID:                "143466",
		TransactionReason:           "RENEWAL",
		Price:                       4900000,
		Priced:                      true,
		Currency:                    "KRW",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("transaction (-want +got):\n%s", diff)
	}
}

// What is unusual and still Apple's.
func TestUnusualButGenuineTokensAreAccepted(t *testing.T) {
	a := genuine(t)
	good := header(a.x5c())
	for name, c := range map[string]struct {
		token string
		check func(apple.Transaction) (got, want any)
	}{
		"fractional milliseconds": {
			a.sign(swap(t, payload, `"purchaseDate":1768478100000`, `"purchaseDate":1768478100000.7297`)),
			func(t apple.Transaction) (any, any) {
				return t.PurchaseDate, time.Date(2026, 1, 15, 11, 55, 0, 0, time.UTC)
			},
		},
		"fractional signedDate": {
			a.sign(swap(t, payload, `"signedDate":1768478400000`, `"signedDate":1768478400000.999`)),
			func(t apple.Transaction) (any, any) { return t.SignedDate, signedAt },
		},
		"milliseconds with an exponent": {
			a.sign(swap(t, payload, `"signedDate":1768478400000`, `"signedDate":1.7684784e12`)),
			func(t apple.Transaction) (any, any) { return t.SignedDate, signedAt },
		},
		"a date before the year 1": {
			a.sign(swap(t, payload, `"originalPurchaseDate":1765799700000`, `"originalPurchaseDate":-62135769600000`)),
			func(t apple.Transaction) (any, any) {
				return t.OriginalPurchaseDate.UnixMilli(), int64(-62135769600000)
			},
		},
		"unknown members": {
			a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"newThing":{"a":[1,{"b":null}]}`)),
			func(t apple.Transaction) (any, any) { return string(t.Other["newThing"]), `{"a":[1,{"b":null}]}` },
		},
		"unknown product type": {
			a.sign(swap(t, payload, `"Auto-Renewable Subscription"`, `"Lease"`)),
			func(t apple.Transaction) (any, any) { return t.Type, apple.ProductType("Lease") },
		},
		"unknown ownership": {
			a.sign(swap(t, payload, `"PURCHASED"`, `"GIFTED"`)),
			func(t apple.Transaction) (any, any) { return t.Ownership, apple.Ownership("GIFTED") },
		},
		"an unknown member that is null": {
			a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"newThing":null`)),
			func(t apple.Transaction) (any, any) { return string(t.Other["newThing"]), "null" },
		},
		"escapes": {
			a.sign(swap(t, payload, `"com.example.premium.monthly"`, `"com.example\u002epremium.monthly"`)),
			func(t apple.Transaction) (any, any) { return t.ProductID, "com.example.premium.monthly" },
		},
		"white space": {
			a.sign("\n " + strings.ReplaceAll(payload, ",", " ,\t\r\n") + " "),
			func(t apple.Transaction) (any, any) { return t.StorefrontID, "143466" },
		},
		"further header members": {
			a.signWith(swap(t, good, `{"alg"`, `{"typ":"JWT","kid":"x","jku":"x","alg"`), payload),
			func(t apple.Transaction) (any, any) { return t.Environment, apple.Production },
		},
		"sandbox": {
			a.sign(swap(t, payload, `"Production"`, `"Sandbox"`)),
			func(t apple.Transaction) (any, any) { return t.Environment, apple.Sandbox },
		},
		"sandbox with an app id of its own": {
			a.sign(swap(t, payload, `"environment":"Production"`, `"environment":"Sandbox","appAppleId":999`)),
			func(t apple.Transaction) (any, any) { return t.AppID, int64(999) },
		},
		"our app id": {
			a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"appAppleId":1234567890`)),
			func(t apple.Transaction) (any, any) { return t.AppID, int64(1234567890) },
		},
		"exp to come and nbf passed": {
			a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"exp":1768478461,"nbf":1768478460`)),
			func(t apple.Transaction) (any, any) { return t.Quantity, 1 },
		},
		"a revocation": {
			a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"revocationDate":1768478300000,"revocationReason":0,"revocationType":"REFUND_FULL","revocationPercentage":100000`)),
			func(t apple.Transaction) (any, any) {
				return []any{t.Revoked(), t.RevocationReason, t.RevocationType, t.RevocationPercentage}, []any{true, 0, "REFUND_FULL", 100000}
			},
		},
		"an offer": {
			a.sign(swap(t, payload, `"quantity":1`, `"quantity":1,"isUpgraded":true,"offerType":1,"offerIdentifier":"x","offerDiscountType":"FREE_TRIAL","offerPeriod":"P1W","billingPlanType":"MONTHLY"`)),
			func(t apple.Transaction) (any, any) {
				return []any{t.IsUpgraded, t.OfferType, t.OfferIdentifier, t.OfferDiscountType, t.OfferPeriod, t.BillingPlanType}, []any{true, 1, "x", "FREE_TRIAL", "P1W", "MONTHLY"}
			},
		},
		"a price that is not whole": {
			a.sign(swap(t, payload, `"price":4900000`, `"price":4900000.5`)),
			func(t apple.Transaction) (any, any) { return t.Priced, false },
		},
		"a price with an exponent": {
			a.sign(swap(t, payload, `"price":4900000`, `"price":4.9e6`)),
			func(t apple.Transaction) (any, any) { return t.Price, int64(4900000) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			tx, err := newVerifier(t, a.certs[root]).Transaction(t.Context(), c.token)
			if err != nil {
				t.Fatalf("error %v, want none", err)
			}
			got, want := c.check(tx)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A device keeps tokens for years; they stay good when the leaf that signed them ends.
func TestTokenStaysGoodWhenItsLeafHasEnded(t *testing.T) {
	a := genuine(t)
	c := config(a.certs[root])
	c.Clock = clock.Fixed(a.certs[leaf].NotAfter.AddDate(5, 0, 0))
	v, err := apple.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Transaction(t.Context(), a.sign(payload)); err != nil {
		t.Errorf("error %v, want none", err)
	}
}

// The chain is checked as of the day of signing, not as of today.
func TestTokenStaysGoodWhenItsWholeChainHasEnded(t *testing.T) {
	brief := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2001, 2, 1, 0, 0, 0, 0, time.UTC)
	}
	a := newAuthority(t, template(leaf, brief), template(intermediate, brief), template(root, brief))
	v := newVerifier(t, a.certs[root])
	for at, want := range map[string]error{
		"980000000000": nil, // 20 January 2001
		"978307199999": apple.ErrWindow,
		"980985600001": apple.ErrWindow,
	} {
		if _, err := v.Transaction(t.Context(), a.sign(swap(t, payload, `"signedDate":1768478400000`, `"signedDate":`+at))); !errors.Is(err, want) {
			t.Errorf("signed at %s: error %v, want %v", at, err, want)
		}
	}
}

func TestAnyConfiguredRootWillDo(t *testing.T) {
	a, other := genuine(t), newAuthority(t)
	v := newVerifier(t, other.certs[root], a.certs[root])
	for name, signer := range map[string]*authority{"first": other, "second": a} {
		if _, err := v.Transaction(t.Context(), signer.sign(payload)); err != nil {
			t.Errorf("%s root: error %v, want none", name, err)
		}
	}
	mixed := a.signWith(header([]string{a.x5c()[0], a.x5c()[1], other.x5c()[2]}), payload)
	if _, err := v.Transaction(t.Context(), mixed); !errors.Is(err, apple.ErrChain) {
		t.Errorf("a chain that ends at another root of ours: error %v, want %q", err, apple.ErrChain)
	}
}

func TestOnlyConfiguredEnvironmentsAreAccepted(t *testing.T) {
	a := genuine(t)
	for _, only := range []apple.Environment{apple.Production, apple.Sandbox} {
		c := config(a.certs[root])
		c.Environments = []apple.Environment{only}
		v, err := apple.NewVerifier(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, environment := range []apple.Environment{apple.Production, apple.Sandbox} {
			_, err := v.Transaction(t.Context(), a.sign(swap(t, payload, `"Production"`, fmt.Sprintf("%q", environment))))
			if environment == only && err != nil {
				t.Errorf("%s for %s: error %v, want none", environment, only, err)
			}
			if environment != only && !errors.Is(err, apple.ErrEnvironment) {
				t.Errorf("%s for %s: error %v, want %q", environment, only, err, apple.ErrEnvironment)
			}
		}
	}
}

func TestEndedContextIsAnOutageNotAnInvalidProof(t *testing.T) {
	a := genuine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newVerifier(t, a.certs[root]).Transaction(ctx, a.sign(payload))
	if !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v because of %v", err, fault.Unavailable, context.Canceled)
	}
}

func TestImpossibleConfigurationIsRefused(t *testing.T) {
	a := genuine(t)
	for name, c := range map[string]struct {
		change func(*apple.Config)
		want   string
	}{
		"no root":               {func(c *apple.Config) { c.Roots = nil }, "root"},
		"nil root":              {func(c *apple.Config) { c.Roots = []*x509.Certificate{nil} }, "root certificate 1"},
		"root is a leaf":        {func(c *apple.Config) { c.Roots = append(c.Roots, a.certs[leaf]) }, "root certificate 2"},
		"no bundle id":          {func(c *apple.Config) { c.BundleIDs = nil }, "bundle id"},
		"empty bundle id":       {func(c *apple.Config) { c.BundleIDs = []string{"com.example.app", ""} }, "bundle id"},
		"no environment":        {func(c *apple.Config) { c.Environments = nil }, "environment"},
		"Xcode":                 {func(c *apple.Config) { c.Environments = append(c.Environments, "Xcode") }, `"Xcode"`},
		"LocalTesting":          {func(c *apple.Config) { c.Environments = []apple.Environment{"LocalTesting"} }, `"LocalTesting"`},
		"no environment's name": {func(c *apple.Config) { c.Environments = []apple.Environment{""} }, `""`},
		"production, no app id": {func(c *apple.Config) { c.AppID = 0 }, "Apple id"},
		"negative app id":       {func(c *apple.Config) { c.AppID = -1 }, "Apple id"},
		"no clock":              {func(c *apple.Config) { c.Clock = nil }, "clock"},
	} {
		given := config(a.certs[root])
		c.change(&given)
		v, err := apple.NewVerifier(given)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one about %q", name, err, c.want)
		}
		if v != nil {
			t.Errorf("%s: there is a verifier, want none", name)
		}
	}
	sandbox := config(a.certs[root])
	sandbox.AppID, sandbox.Environments = 0, []apple.Environment{apple.Sandbox}
	if _, err := apple.NewVerifier(sandbox); err != nil {
		t.Errorf("sandbox alone needs no app id: error %v, want none", err)
	}
}

func TestVerifierDoesNotFollowChangesOfItsConfiguration(t *testing.T) {
	a := genuine(t)
	c := config(a.certs[root])
	v, err := apple.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	c.BundleIDs[0], c.Environments[0] = "com.example.other", "Xcode"
	if _, err := v.Transaction(t.Context(), a.sign(payload)); err != nil {
		t.Errorf("error %v, want none", err)
	}
}

func TestRememberedChainIsNoVerdictOnTheDate(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	if _, err := v.Transaction(t.Context(), a.sign(payload)); err != nil {
		t.Fatal(err)
	}
	if got := v.Remembered(); got != 1 {
		t.Fatalf("%d chains remembered, want 1", got)
	}
	for _, c := range []struct {
		at   time.Time
		want error
	}{
		{a.certs[leaf].NotBefore, nil},
		{a.certs[leaf].NotBefore.Add(-time.Millisecond), apple.ErrWindow},
		{a.certs[leaf].NotAfter, nil},
		{a.certs[leaf].NotAfter.Add(time.Millisecond), apple.ErrWindow},
	} {
		dated := swap(t, payload, `"signedDate":1768478400000`, fmt.Sprintf(`"signedDate":%d`, c.at.UnixMilli()))
		for name, v := range map[string]*apple.Verifier{"remembered": v, "first": newVerifier(t, a.certs[root])} {
			if _, err := v.Transaction(t.Context(), a.sign(dated)); !errors.Is(err, c.want) {
				t.Errorf("%s, signed at %v: error %v, want %v", name, c.at, err, c.want)
			}
		}
	}
}

// Nothing that was refused, for whatever reason, makes the next token look better.
func TestRefusedTokensTeachTheCacheNothing(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	forged := newAuthority(t)
	withRoot := header([]string{forged.x5c()[0], forged.x5c()[1], a.x5c()[2]})
	for range 3 {
		for name, token := range map[string]string{
			"self-made":                  forged.sign(payload),
			"self-made, genuine root":    forged.signWith(withRoot, payload),
			"genuine header, not theirs": forged.signWith(header(a.x5c()), payload),
		} {
			if _, err := v.Transaction(t.Context(), token); !errors.Is(err, fault.Invalid) {
				t.Errorf("%s: error %v, want %v", name, err, fault.Invalid)
			}
		}
	}
	if got := v.Remembered(); got != 0 {
		t.Errorf("%d chains remembered, want none", got)
	}
	if _, err := v.Transaction(t.Context(), a.sign(payload)); err != nil {
		t.Errorf("the genuine one: error %v, want none", err)
	}
	if _, err := v.Transaction(t.Context(), forged.signWith(withRoot, payload)); !errors.Is(err, apple.ErrChain) {
		t.Errorf("a forged one behind it: error %v, want %q", err, apple.ErrChain)
	}
	if got := v.Remembered(); got != 1 {
		t.Errorf("%d chains remembered, want 1", got)
	}
}

func TestCacheIsBoundedAndForgetsTheLeastUsed(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	favourite := a.sign(payload)
	var tokens []string
	for i := range apple.MaxChains + 8 {
		tokens = append(tokens, newAuthority(t, below(a, intermediate)).sign(payload))
		for _, token := range []string{favourite, tokens[i]} {
			if _, err := v.Transaction(t.Context(), token); err != nil {
				t.Fatalf("chain %d: %v", i, err)
			}
		}
		if got, want := v.Remembered(), min(i+2, apple.MaxChains); got != want {
			t.Fatalf("after chain %d: %d remembered, want %d", i, got, want)
		}
		if !v.Remembers(favourite) {
			t.Fatalf("after chain %d: the chain that is used all the time is forgotten", i)
		}
	}
	for i, token := range tokens {
		if got, want := v.Remembers(token), i >= len(tokens)-apple.MaxChains+1; got != want {
			t.Errorf("chain %d remembered: %v, want %v", i, got, want)
		}
	}
	if _, err := v.Transaction(t.Context(), tokens[0]); err != nil {
		t.Errorf("a forgotten chain: error %v, want none", err)
	}
}

func TestVerifierMayBeUsedByManyAtOnce(t *testing.T) {
	a := genuine(t)
	v := newVerifier(t, a.certs[root])
	signers := []*authority{a, newAuthority(t, below(a, intermediate)), newAuthority(t, below(a, intermediate)), newAuthority(t)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				signer := signers[(i+j)%len(signers)]
				_, err := v.Transaction(t.Context(), signer.sign(payload))
				if genuine := signer != signers[3]; genuine != (err == nil) {
					t.Errorf("genuine %v: error %v", genuine, err)
				}
			}
		})
	}
	wg.Wait()
	if got := v.Remembered(); got != 3 {
		t.Errorf("%d chains remembered, want 3", got)
	}
}
