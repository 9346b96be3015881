package dodo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"grantline/shared/billing"
	"grantline/shared/dodo"
	"grantline/shared/fault"
)

// parse reads an answer another way than the gateway does, nil if it is no object.
func parse(text []byte) map[string]any {
	var p any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&p) != nil || decoder.More() {
		return nil
	}
	o, _ := p.(map[string]any)
	return o
}

// FuzzFind: whatever Dodo answers, money is taken only if it shows a payment of this order
// and mandate that succeeded, it was declined only by such a payment, and it is absent
// only by a list that can be read.
func FuzzFind(f *testing.F) {
	for _, change := range []has{
		nil,
		{"status": "failed", "error_code": "INSUFFICIENT_FUNDS"},
		{"status": nil},
		{"total_amount": -1},
		{"metadata": has{"order_id": "gl_other"}},
		{"subscription_id": "sub_other"},
		{"is_update_payment_method": true},
	} {
		text, err := json.Marshal(paid("pay_1", change))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(200, text, 200, []byte(`{"items":[{"payment_id":"pay_1","metadata":{"order_id":"`+order+`"}}]}`))
		f.Add(200, text, 200, []byte(`{"items":[{"payment_id":"pay_1"},{"payment_id":"pay_2","metadata":{}}]}`))
	}
	f.Add(404, []byte(`{"code":"NOT_FOUND"}`), 200, []byte(`{"items":[]}`))
	f.Add(500, []byte(`<html>`), 500, []byte("\xef\xbb\xbf{}"))
	f.Add(200, []byte(`{"payment_id":"pay_1","status":"failed","STATUS":"succeeded"}`), 200, []byte(`{"items":null,"Items":[]}`))
	f.Fuzz(func(t *testing.T, oneStatus int, one []byte, listStatus int, list []byte) {
		var l log
		g := gateway(t, "https://dodo.example", routed{one: says{oneStatus, string(one)}, list: says{listStatus, string(list)}}, &l)
		p, page := parse(one), parse(list)
		data, _ := p["metadata"].(map[string]any)
		ours := oneStatus == 200 && p["payment_id"] == "pay_1" && data["order_id"] == order && p["subscription_id"] == mandate && p["is_update_payment_method"] != true
		for _, key := range []string{"pay_1", ""} {
			w := want
			w.Payment = key
			got := g.Find(t.Context(), order, w)
			if got.Result == billing.Taken && (!ours || p["status"] != "succeeded" || got.Payment.Amount <= 0 || len(got.Others) > 0) {
				t.Errorf("got %+v of %d %q, want nothing taken", got, oneStatus, one)
			}
			if got.Result == billing.Refused && (!ours || p["status"] != "failed" && p["status"] != "cancelled" || got.Class == "") {
				t.Errorf("got %+v of %d %q, want no decline", got, oneStatus, one)
			}
			if got.Result == billing.Accepted && (!ours || got.Payment.Key != "pay_1") {
				t.Errorf("got %+v of %d %q, want nothing accepted", got, oneStatus, one)
			}
			if _, ok := page["items"].([]any); got.Result == billing.Absent && (key != "" && p["is_update_payment_method"] != true || key == "" && (listStatus != 200 || !ok)) {
				t.Errorf("got %+v of %d %q, want it not absent", got, listStatus, list)
			}
			if got.Result == billing.NotMade {
				t.Errorf("got %+v, want no such answer to a look", got)
			}
		}
		if strings.Contains(l.String(), mandate) || strings.Contains(l.String(), apiKey) {
			t.Errorf("got the log %s, want neither mandate nor key in it", l.String())
		}
	})
}

// routed answers a list and a single payment, without a network.
type routed struct{ one, list says }

func (r routed) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path == "/payments" {
		return r.list.RoundTrip(req)
	}
	return r.one.RoundTrip(req)
}

// FuzzCharge: whatever Dodo answers, a charge is never taken or absent, and it is not made
// or refused only by a 4xx.
func FuzzCharge(f *testing.F) {
	for _, status := range []int{200, 400, 401, 403, 404, 408, 409, 422, 429, 500} {
		f.Add(status, []byte(`{"code":"SUBSCRIPTION_INACTIVE","payment_id":"pay_1"}`))
		f.Add(status, []byte(`{"code":"PREVIOUS_PAYMENT_PENDING"}`))
		f.Add(status, []byte(`<html>`))
	}
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		g := gateway(t, "https://dodo.example", says{status, string(text)}, &log{})
		got := g.Charge(t.Context(), order, card, body(t, g))
		id, _ := parse(text)["payment_id"].(string)
		switch got.Result {
		case billing.Accepted:
			if status != 200 || id != got.Payment.Key || id == "" {
				t.Errorf("got %+v of %d %q, want nothing accepted", got, status, text)
			}
		case billing.NotMade, billing.Refused:
			if status < 400 || status > 499 || status == 408 {
				t.Errorf("got %+v of %d %q, want it unclear", got, status, text)
			}
		case billing.Unclear:
		case billing.Taken, billing.Absent:
			t.Errorf("got %+v of %d %q, want no such answer to a charge", got, status, text)
		}
	})
}

// FuzzVerify: nothing verifies but what was signed, and what was signed is read without
// harm.
func FuzzVerify(f *testing.F) {
	f.Add(noticeID, strconv.Itoa(sentAt), signature, []byte(sample))
	f.Add("msg.1", "-1", "v1,", []byte(`{"data":{"metadata":null}}`))
	f.Add(noticeID, strconv.Itoa(sentAt), "v1 v1, ,v1, "+signature, []byte(`[]`))
	f.Fuzz(func(t *testing.T, id, stamp, signatures string, text []byte) {
		v, _ := verifier(t, secret, secret, nil)
		got, err := v.Verify(t.Context(), headers(id, stamp, signatures), text, time.Unix(sentAt, 0))
		genuine := id == noticeID && stamp == strconv.Itoa(sentAt) && string(text) == sample && strings.Contains(signatures, signature)
		if !genuine && (!errors.Is(err, fault.Unauthenticated) || got != (dodo.Hint{})) {
			t.Errorf("got %+v, %v, want fault.Unauthenticated", got, err)
		}
		got, err = v.Verify(t.Context(), signed(t, secret, string(text)), text, time.Unix(sentAt, 0))
		if object := parse(text); (err == nil) != (object != nil && got.ID == noticeID) && json.Valid(text) {
			t.Errorf("%q: got %+v, %v, want a hint if it is an object", text, got, err)
		}
	})
}
