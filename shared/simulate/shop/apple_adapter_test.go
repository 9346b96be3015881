package shop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	sim "grantline/infra/sim/apple"
	"grantline/shared/apple"
	"grantline/shared/catalog"
	"grantline/shared/notice"
	"grantline/shared/purchase"
	"grantline/shared/simulate"
)

// appStore answers as the App Store Server API would of what the shop knows.
type appStore struct {
	*Apple
	authority *sim.Authority
}

func (s appStore) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := 404, object{"errorCode": 4040010, "errorMessage": "no"}
	id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if sale := s.sales[id]; sale != nil {
		status = 200
		if strings.Contains(r.URL.Path, "/transactions/") {
			body = object{"signedTransactionInfo": s.transaction(sale, sale.facts.is, s.now())}
		} else {
			is := sale.line.stands.is
			body = object{"environment": "Production", "bundleId": bundle, "appAppleId": 1234567890, "data": []any{object{
				"subscriptionGroupIdentifier": "group", "lastTransactions": []any{object{
					"status": is.status, "originalTransactionId": sale.line.ID, "signedTransactionInfo": s.transaction(is.last, is.last.facts.is, s.now()),
					"signedRenewalInfo": s.renewal(sale.line, s.now()),
				}},
			}}}
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(text))), ContentLength: int64(len(text)),
	}, nil
}

func (s appStore) transaction(sale *appleSale, f facts, at time.Time) string {
	claims := object{
		"transactionId": sale.ID, "originalTransactionId": sale.line.ID, "bundleId": bundle, "productId": sale.SKU, "purchaseDate": sale.SoldAt.UnixMilli(),
		"quantity": sale.Quantity, "signedDate": at.UnixMilli(), "environment": "Production", "price": sale.Price * 1000, "currency": sale.Currency,
		"inAppOwnershipType": "PURCHASED", "isUpgraded": f.upgraded, "type": map[catalog.Kind]string{
			catalog.Consumable: "Consumable", catalog.NonConsumable: "Non-Consumable", catalog.NonRenewing: "Non-Renewing Subscription",
			catalog.Subscription: "Auto-Renewable Subscription",
		}[sale.Product.Kind],
	}
	if sale.Account != "" {
		claims["appAccountToken"] = sale.Account
	}
	if sale.Family {
		claims["inAppOwnershipType"] = "FAMILY_SHARED"
	}
	if !sale.Until.IsZero() {
		claims["expiresDate"] = sale.Until.UnixMilli()
	}
	if f.revoked {
		claims["revocationDate"], claims["revocationReason"] = at.UnixMilli(), 0
		if f.percent > 0 {
			claims["revocationPercentage"] = f.percent
		}
	}
	return s.authority.Sign(claims)
}

func (s appStore) renewal(l *AppleLine, at time.Time) string {
	is := l.stands.is
	claims := object{
		"originalTransactionId": l.ID, "productId": is.product, "autoRenewProductId": is.next, "autoRenewStatus": 0, "signedDate": at.UnixMilli(),
		"environment": "Production", "isInBillingRetryPeriod": is.retries,
	}
	if is.on {
		claims["autoRenewStatus"] = 1
	}
	if is.intent != 0 {
		claims["expirationIntent"] = is.intent
	}
	if !is.grace.IsZero() {
		claims["gracePeriodExpiresDate"] = is.grace.UnixMilli()
	}
	return s.authority.Sign(claims)
}

func (s appStore) notification(h notice.Hint) string {
	sale := s.sales[strings.TrimPrefix(h.Order, "apple_")]
	at := s.words[h.Evidence].sale.AsOf
	kind, subtype, _ := strings.Cut(h.Type, ".")
	data := object{"environment": "Production", "bundleId": bundle, "appAppleId": 1234567890, "signedTransactionInfo": s.transaction(sale, sale.facts.is, at)}
	if sale.Product.Kind == catalog.Subscription {
		data["signedRenewalInfo"], data["status"] = s.renewal(sale.line, at), sale.line.stands.is.status
	}
	return s.authority.Sign(object{
		"notificationType": kind, "subtype": subtype, "notificationUUID": h.ID, "version": "2.0", "signedDate": at.UnixMilli(), "data": data,
	})
}

// unrevoked says of no chain that it was revoked.
type unrevoked struct{}

func (unrevoked) Standing(context.Context, apple.Chain) (apple.Standing, error) {
	return apple.Standing{State: apple.StandingGood}, nil
}

func TestAppleIsToldOfAsItsAdapterTells(t *testing.T) {
	goods, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	authority, err := sim.NewAuthority(rand.Reader, start.AddDate(-1, 0, 0), start.AddDate(9, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	root, _ := pem.Decode(authority.RootPEM())
	anchor, err := x509.ParseCertificate(root.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	checked := 0
	for seed := range uint64(2) {
		w := simulate.New(seed, start, simulate.NewWeather(seed, simulate.Faults{}))
		a := NewApple(w, goods, Habits{Poor: 30_000})
		s := appStore{a, authority}
		log := slog.New(slog.DiscardHandler)
		verifier, err := apple.NewVerifier(apple.Config{
			Roots: []*x509.Certificate{anchor}, BundleIDs: []string{bundle}, AppID: 1234567890, Environments: []apple.Environment{apple.Production},
			Clock: w.Clock(), Revocation: apple.RevocationSoft, Revocations: unrevoked{},
		})
		if err != nil {
			t.Fatal(err)
		}
		api, err := apple.NewAPI(apple.APIConfig{
			URL: "https://production.example", SandboxURL: "https://sandbox.example", IssuerID: "57246542-96fe-1a63-e053-0824d011072a", KeyID: "ABCDEFGHIJ",
			PrivateKey: func(context.Context, bool) (string, error) { return private, nil }, Clock: w.Clock(), Log: log, Transport: s,
		})
		if err != nil {
			t.Fatal(err)
		}
		real := apple.NewStore(apple.StoreConfig{Verifier: verifier, API: api, ReportUsage: true})
		type heard struct{ ours, theirs string }
		var told []heard
		a.Notify = func(h notice.Hint) {
			// Only what still is as it was told can be signed once more.
			sale, word := a.sales[strings.TrimPrefix(h.Order, "apple_")], a.words[h.Evidence]
			same := word.sale == a.say(sale, sale.facts.is, word.sale.AsOf).sale
			if same && (sale.Product.Kind != catalog.Subscription || word.standing == stand(sale.line.stands.is, word.standing.AsOf)) {
				told = append(told, heard{h.Evidence, s.notification(h)})
			}
		}
		for range 40 {
			_ = w.Run(w.Now().Add(a.within(9 * 24 * time.Hour)))
			a.happens()
			_ = w.Run(w.Now().Add(time.Minute).Truncate(time.Millisecond))
			for _, o := range a.orders {
				sale := a.sales[o.ID]
				theirs := purchase.Proof{Store: "apple", Evidence: s.transaction(sale, sale.facts.is, w.Now())}
				ours := purchase.Proof{Store: "apple", Evidence: a.Sign(o.ID)}
				want, wantErr := real.Look(t.Context(), theirs)
				got, gotErr := a.Look(t.Context(), ours)
				if diff := alike(got, want, gotErr, wantErr); diff != "" {
					t.Fatalf("seed %d: Look at %+v (-adapter +shop):\n%s", seed, o, diff)
				}
				line := purchase.Line{Line: sale.line.ID, Order: o.ID}
				want, _, wantErr = real.Follow(t.Context(), line)
				got, _, gotErr = a.Follow(t.Context(), line)
				if diff := alike(got, want, gotErr, wantErr); diff != "" {
					t.Fatalf("seed %d: Follow of %+v (-adapter +shop):\n%s", seed, o, diff)
				}
				wantSale, wantSays, wantErr := real.Read(t.Context(), theirs)
				gotSale, gotSays, gotErr := a.Read(t.Context(), ours)
				diff := alike(purchase.News{Sales: []purchase.Sale{gotSale}}, purchase.News{Sales: []purchase.Sale{wantSale}}, gotErr, wantErr)
				if diff != "" || gotSays != wantSays {
					t.Fatalf("seed %d: Read of %+v (-adapter +shop):\n%s", seed, o, diff)
				}
				checked++
			}
			for _, n := range told {
				want, wantErr := real.Hear(t.Context(), n.theirs)
				got, gotErr := a.Hear(t.Context(), n.ours)
				if diff := alike(got, want, gotErr, wantErr); diff != "" {
					t.Fatalf("seed %d: Hear (-adapter +shop):\n%s", seed, diff)
				}
				checked++
			}
			told = told[:0]
		}
		w.Close()
	}
	if checked < 300 {
		t.Errorf("compared %d times, want three hundred", checked)
	}
}

// happens is something that people or Apple do.
func (a *Apple) happens() {
	dice := a.world.Dice
	if len(a.orders) == 0 || dice.IntN(3) == 0 {
		switch dice.IntN(4) {
		case 0:
			a.Buy(&Order{SKU: "com.example.gems100", Quantity: 1 + dice.IntN(3), Account: "0f8fad5b-d9cb-469f-a165-70867728950e"})
		case 1:
			a.Buy(&Order{SKU: "com.example.adfree"})
		case 2:
			a.Buy(&Order{SKU: "com.example.rental7d"})
		default:
			a.Subscribe(&Order{SKU: "com.example.premium.monthly"})
		}
		return
	}
	o := a.orders[dice.IntN(len(a.orders))]
	l := a.Line(o)
	if o.Product.Kind == catalog.NonConsumable && !o.Family && dice.IntN(4) == 0 {
		a.Share(o, "", 1)
		return
	}
	switch n := dice.IntN(7); {
	case n < 2:
		a.Refund(o, 1+dice.IntN(wholly))
	case n == 2:
		a.Reverse(o)
	case n == 3:
		a.Revoke(o)
	case o.Product.Kind != catalog.Subscription:
		a.AskWhy(o)
	case n == 4:
		a.Cancel(l)
	case n == 5:
		a.Resume(l)
	default:
		if a.Again(l, "com.example.premium.yearly") == nil {
			a.Change(l, []string{"com.example.premium.yearly", "com.example.premium.monthly"}[dice.IntN(2)])
		}
	}
}
