package toss_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/fault"
	"grantline/shared/toss"
)

// changed is Toss's webhook about the one payment.
func changed(t testing.TB, spoil map[string]any) string {
	t.Helper()
	return `{"eventType":"PAYMENT_STATUS_CHANGED","createdAt":"2026-02-01T12:00:00.000000","data":` + payment(t, spoil) + `}`
}

// sent is the header that Toss sends a webhook with.
func sent(id string) http.Header {
	h := http.Header{}
	h.Set("tosspayments-webhook-transmission-id", id)
	h.Set("tosspayments-webhook-transmission-time", "2026-02-01T12:00:00+09:00")
	h.Set("tosspayments-webhook-transmission-retried-count", "0")
	return h
}

func TestHintSaysWhereToLook(t *testing.T) {
	sum := func(body string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(body))) }
	deleted := `{"eventType":"BILLING_DELETED","createdAt":"2026-02-01T12:00:00","data":{"billingKey":"` + billingKey + `","reason":null,"orderId":"gl_planted","paymentKey":"planted"}}`
	deposit := `{"createdAt":"2026-02-01T12:00:00","secret":"ps_x","status":"DONE","transactionKey":"T","orderId":"gl_planted"}`
	for name, c := range map[string]struct {
		header http.Header
		body   string
		want   toss.Hint
	}{
		"payment":          {sent("wh_7:a.b-c"), changed(t, nil), toss.Hint{ID: "wh_7:a.b-c", Type: "PAYMENT_STATUS_CHANGED", OrderID: order, Payment: paymentKey}},
		"without an id":    {http.Header{}, changed(t, nil), toss.Hint{ID: sum(changed(t, nil)), Type: "PAYMENT_STATUS_CHANGED", OrderID: order, Payment: paymentKey}},
		"no header at all": {nil, changed(t, nil), toss.Hint{ID: sum(changed(t, nil)), Type: "PAYMENT_STATUS_CHANGED", OrderID: order, Payment: paymentKey}},
		"a strange id":     {sent("a b"), changed(t, nil), toss.Hint{ID: sum(changed(t, nil)), Type: "PAYMENT_STATUS_CHANGED", OrderID: order, Payment: paymentKey}},
		"an endless id":    {sent(strings.Repeat("a", 201)), changed(t, nil), toss.Hint{ID: sum(changed(t, nil)), Type: "PAYMENT_STATUS_CHANGED", OrderID: order, Payment: paymentKey}},
		"strange order":    {sent("w"), changed(t, map[string]any{"orderId": "../../x"}), toss.Hint{ID: "w", Type: "PAYMENT_STATUS_CHANGED", Payment: paymentKey}},
		"strange payment":  {sent("w"), changed(t, map[string]any{"paymentKey": "a/b"}), toss.Hint{ID: "w", Type: "PAYMENT_STATUS_CHANGED", OrderID: order}},
		"payment of type":  {sent("w"), changed(t, map[string]any{"paymentKey": 7}), toss.Hint{ID: "w", Type: "PAYMENT_STATUS_CHANGED", OrderID: order}},
		"cancel": {
			sent("w"), `{"eventType":"CANCEL_STATUS_CHANGED","data":{"paymentKey":"p1","orderId":"gl_order1","cancelStatus":"DONE"}}`,
			toss.Hint{ID: "w", Type: "CANCEL_STATUS_CHANGED", OrderID: "gl_order1", Payment: "p1"},
		},
		"billing key":   {sent("w"), deleted, toss.Hint{ID: "w", Type: "BILLING_DELETED"}},
		"deposit":       {sent("w"), deposit, toss.Hint{ID: "w"}},
		"no type":       {sent("w"), `{"eventType":null,"data":{"orderId":"gl_planted"}}`, toss.Hint{ID: "w"}},
		"type of later": {sent("w"), `{"eventType":"payout.changed","data":{"orderId":"gl_planted","paymentKey":"planted"}}`, toss.Hint{ID: "w", Type: "payout.changed"}},
		"no data":       {sent("w"), ` {"eventType":"METHOD_UPDATED"} `, toss.Hint{ID: "w", Type: "METHOD_UPDATED"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := toss.ReadHint(c.header, []byte(c.body))
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("got %v, want no error; want -, got +\n%s", err, diff)
			}
			if text := fmt.Sprintf("%+v", got); strings.Contains(text, billingKey) || strings.Contains(text, "planted") {
				t.Errorf("got %s, want nothing that was planted", text)
			}
		})
	}
}

func TestUnreadableWebhookIsMalformed(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":         "",
		"no JSON":         "secret-in-body",
		"null":            "null",
		"spaced null":     "  null",
		"a list":          "[]",
		"a text":          `"PAYMENT_STATUS_CHANGED"`,
		"cut":             changed(t, nil)[:80],
		"two":             `{"eventType":"METHOD_UPDATED"}{}`,
		"not UTF-8":       "{\"eventType\":\"A\xff\"}",
		"type twice":      `{"eventType":"METHOD_UPDATED","eventType":"PAYMENT_STATUS_CHANGED"}`,
		"order twice":     `{"eventType":"PAYMENT_STATUS_CHANGED","data":{"orderId":"gl_order1","orderId":"gl_order2"}}`,
		"type of a kind":  `{"eventType":7}`,
		"type empty":      `{"eventType":""}`,
		"type with space": `{"eventType":"PAYMENT STATUS"}`,
		"type endless":    `{"eventType":"` + strings.Repeat("A", 65) + `"}`,
		"no payment":      `{"eventType":"PAYMENT_STATUS_CHANGED"}`,
		"payment null":    `{"eventType":"PAYMENT_STATUS_CHANGED","data":null}`,
		"payment a text":  `{"eventType":"PAYMENT_STATUS_CHANGED","data":"secret-in-body"}`,
		"nothing to see":  `{"eventType":"PAYMENT_STATUS_CHANGED","data":{"secret":"secret-in-body","orderId":"a","paymentKey":""}}`,
		"too large":       changed(t, map[string]any{"pad": strings.Repeat("a", 256<<10)}),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := toss.ReadHint(sent("w"), []byte(body))
			if !errors.Is(err, fault.Malformed) || fault.Code(err) != "invalid_webhook" || got != (toss.Hint{}) {
				t.Errorf("got %+v, %v, want fault.Malformed alone", got, err)
			}
			if strings.Contains(fmt.Sprint(err), "secret-in-body") {
				t.Errorf("got %v, want nothing of the body in it", err)
			}
		})
	}
}

// FuzzReadHint: whatever anybody sends, what comes of it can stand anywhere, and a billing
// key is not in it.
func FuzzReadHint(f *testing.F) {
	f.Add("w", []byte(changed(f, nil)))
	f.Add("", []byte(`{"eventType":"BILLING_DELETED","data":{"billingKey":"`+billingKey+`","orderId":"gl_planted"}}`))
	f.Add("a b", []byte(`{"eventType":"CANCEL_STATUS_CHANGED","data":{"paymentKey":"p1"}}`))
	f.Add("w", []byte(`{"secret":"ps_x","orderId":"gl_order1"}`))
	f.Add("w", []byte(`null`))
	shapes := []*regexp.Regexp{
		regexp.MustCompile(`^[\w.:-]{1,200}$`), regexp.MustCompile(`^([A-Za-z][\w.]{0,63})?$`),
		regexp.MustCompile(`^([\w-]{6,64})?$`), regexp.MustCompile(`^[\w-]{0,200}$`),
	}
	f.Fuzz(func(t *testing.T, id string, body []byte) {
		got, err := toss.ReadHint(http.Header{"Tosspayments-Webhook-Transmission-Id": {id}}, body)
		if err != nil {
			if !errors.Is(err, fault.Malformed) || got != (toss.Hint{}) {
				t.Errorf("got %+v, %v, want fault.Malformed alone", got, err)
			}
			return
		}
		for i, text := range []string{got.ID, got.Type, got.OrderID, got.Payment} {
			if !shapes[i].MatchString(text) {
				t.Errorf("got %q as part %d of %+v, want it in shape", text, i, got)
			}
		}
		if got.Type == "BILLING_DELETED" && (got.OrderID != "" || got.Payment != "") {
			t.Errorf("got %+v, want no value", got)
		}
	})
}
