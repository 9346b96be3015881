package web_test

import (
	"fmt"
	"strings"
	"testing"
)

// doors are the routes that read a body, each with one that is accepted.
var doors = []struct{ method, path, body, field string }{
	{"POST", "/v1/purchases", `{"store":"appsintoss","appsintoss":{"orderId":"x"}}`, "store"},
	{"POST", "/api/iap/fulfill", `{"orderId":"x"}`, "orderId"},
	{"PUT", "/v1/customers/minji", `{"name":"Minji"}`, "name"},
	{"POST", "/v1/subscriptions", `{"id":"sub-1","planId":"premium-monthly","gateway":"toss","toss":{"authKey":"a","customerKey":"key-1"}}`, "planId"},
	{"POST", "/v1/subscriptions", strings.Replace(columns["mandate"].body, `"customerId":"minji",`, "", 1), "planId"},
	{"POST", columns["cancel"].path, columns["cancel"].body, "at"},
	{"POST", columns["card"].path, columns["card"].body, "authKey"},
	{"POST", columns["plan"].path, columns["plan"].body, "planId"},
	{"POST", columns["charge"].path, columns["charge"].body, "orderId"},
	{"POST", columns["refund"].path, columns["refund"].body, "reference"},
	{"POST", "/v1/apple/offers", `{"kind":"promotional","productId":"com.example.premium.monthly","offerId":"winback50"}`, "productId"},
	{"POST", "/v1/apple/offers", `{"kind":"promotional_v1","productId":"com.example.premium.monthly","offerId":"winback50"}`, "offerId"},
	{"POST", "/v1/apple/offers", `{"kind":"introductory","productId":"com.example.premium.monthly","transactionId":"2000000721458883","allow":false}`, "transactionId"},
	{"POST", "/v1/purchases", `{"store":"apple","apple":{"receipt":"` + sampleReceipt + `"}}`, "receipt"},
}

// sampleReceipt is what shelves has sold by a receipt.
const sampleReceipt = "MIIC8wYJKoZIhvcNAQcCoIIC5DCCAuACAQExCzAJBgUrDgMCGgUAMIIClA"

// open is a world in which every door's body is accepted.
func open(t testing.TB, path string) *world {
	w := newWorld(t)
	w.shelves(t)
	if strings.Contains(path, "/sub-") || strings.Contains(path, "/gl_") {
		w.minji()
	}
	return w
}

// badBodies are what no route reads, made from one that it does.
func badBodies(good, field string) map[string]string {
	more := good[:len(good)-1] + ","
	quoted := `"` + field + `":"`
	return map[string]string{
		"empty":                   "",
		"blank":                   " \n",
		"null":                    "null",
		"true":                    "true",
		"number":                  "0",
		"string":                  `"{}"`,
		"array":                   "[]",
		"array of it":             "[" + good + "]",
		"form":                    "orderId=x&store=appsintoss",
		"cut short":               good[:len(good)-1],
		"trailing comma":          more + "}",
		"trailing data":           good + "{}",
		"trailing letter":         good + "x",
		"two of them":             good + "\n" + good,
		"comment":                 "/**/" + good,
		"byte order mark":         "\uFEFF" + good,
		"duplicate":               more + quoted + `x"}`,
		"duplicate, escaped":      more + `"\u00` + fmt.Sprintf("%02x", field[0]) + field[1:] + `":"x"}`,
		"duplicate inside":        more + `"apple":{"signedTransaction":"a","signedTransaction":"b"}}`,
		"unknown field":           more + `"admin":true}`,
		"unknown field, null":     more + `"admin":null}`,
		"another case":            strings.Replace(good, `"`+field+`"`, `"`+strings.ToUpper(field)+`"`, 1),
		"field without a name":    more + `"":""}`,
		"NUL behind":              good + "\x00",
		"NUL in a string":         strings.Replace(good, quoted, quoted+"a\x00", 1),
		"NUL escaped":             strings.Replace(good, quoted, quoted+`a\u0000`, 1),
		"NUL escaped in a name":   more + `"admin\u0000":1}`,
		"NUL in an unknown field": more + `"admin":"\u0000"}`,
		"invalid UTF-8":           strings.Replace(good, quoted, quoted+"a\xff", 1),
		"overlong UTF-8":          strings.Replace(good, quoted, quoted+"a\xc0\x80", 1),
		"lone surrogate":          strings.Replace(good, quoted, quoted+`a\ud800`, 1),
		"UTF-16":                  "\xff\xfe{\x00}\x00",
		"control character":       strings.Replace(good, quoted, quoted+"a\n", 1),
		"null for text":           `{"` + field + `":null}`,
		"number for text":         `{"` + field + `":1}`,
		"list for text":           `{"` + field + `":["x"]}`,
		"object for text":         `{"` + field + `":{}}`,
		"huge number":             `{"` + field + `":1e999999999}`,
		"long number":             `{"` + field + `":` + strings.Repeat("9", 100_000) + `}`,
		"NaN":                     `{"` + field + `":NaN}`,
		"deep":                    `{"` + field + `":` + strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000) + `}`,
		"deep objects":            strings.Repeat(`{"`+field+`":`, 30_000) + "1" + strings.Repeat("}", 30_000),
		"deep, cut short":         strings.Repeat(`[`, 1_000_000),
		"many fields":             more + `"a":1` + strings.Repeat(`,"a":1`, 100_000) + "}",
		"1 MiB and 1":             good + strings.Repeat(" ", 1<<20+1-len(good)),
		"4 MiB":                   good + strings.Repeat(" ", 4<<20),
		"long text":               strings.Replace(good, quoted, quoted+strings.Repeat("x", 1<<19), 1),
	}
}

func TestABodyThatIsNotOneGoodObjectIsRefusedAndNothingIsWritten(t *testing.T) {
	for _, d := range doors {
		for name, body := range badBodies(d.body, d.field) {
			w := open(t, d.path)
			was, logged := w.state(), len(w.logs.String())
			a := w.ask(d.method, d.path, server("minji"), body)
			if a.status < 400 || a.status >= 500 {
				t.Errorf("%s, %s: got %d %.300s, want 4xx", d.path, name, a.status, a.text)
			}
			if len(a.text) > 1000 {
				t.Errorf("%s, %s: got an answer of %d bytes, want a short one", d.path, name, len(a.text))
			}
			if n := len(w.logs.String()) - logged; n > 2000 {
				t.Errorf("%s, %s: got %d bytes of log, want a line", d.path, name, n)
			}
			w.nothingChanged(was, d.path+", "+name)
		}
	}
}

func TestABodyOfAMebibyteIsRead(t *testing.T) {
	for _, d := range doors {
		w := open(t, d.path)
		a := w.ask(d.method, d.path, server("minji"), d.body+strings.Repeat(" ", 1<<20-len(d.body)))
		if a.status != 200 && a.status != 201 {
			t.Errorf("%s: got %d %s, want 200 or 201", d.path, a.status, a.text)
		}
	}
}

func TestABackslashBeforeU0000IsNoNUL(t *testing.T) {
	w := newWorld(t)
	w.expect(200, "", "PUT", me, server(""), `{"name":"\\u0000"}`)
}

func TestABodyIsNotReadForNobody(t *testing.T) {
	for _, d := range doors {
		w := newWorld(t)
		if a := w.ask(d.method, d.path, nil, "{{{"); a.status != 401 {
			t.Errorf("%s: got %d, want 401 before the body is looked at", d.path, a.status)
		}
	}
}

func TestABodyThatIsRefusedNamesItsFieldToItsSenderAndToNoLog(t *testing.T) {
	const path = "/v1/subscriptions/sub-2/charge"
	for body, detail := range map[string]string{
		`{"orderId":"usage-1","amount":100,"currency":"USD","whim":true}`:                                      "whim is no field of this route.",
		`{"orderId":"usage-1","amount":100,"currency":"USD","amount":100}`:                                     "amount is given twice.",
		`{"orderId":"usage-1","amount":null,"currency":"USD"}`:                                                 "amount should not be null; leave out what you do not have.",
		`{"orderId":"usage-1","amount":"100","currency":"USD"}`:                                                "amount should be a whole number.",
		`{"orderId":"usage-1","amount":1.5,"currency":"USD"}`:                                                  "amount should be a whole number.",
		`{"orderId":"usage-1","amount":99999999999999999999,"currency":"USD"}`:                                 "amount should be a whole number.",
		`{"orderId":["usage-1"],"amount":100,"currency":"USD"}`:                                                "orderId should be text.",
		`{"orderId":"usage-1","amount":100,"currency":"U\u0000D"}`:                                             "currency should hold no NUL.",
		`{"amount":100,"currency":"USD"}`:                                                                      "orderId should be 6 to 64 letters, digits, - or _.",
		`{"orderId":"usage-1","amount":100}`:                                                                   "currency should be an ISO 4217 code, upper case.",
		`{"orderId":"usage-1","currency":"USD"}`:                                                               "amount should be a positive number of the currency's smallest unit.",
		`{"orderId":"` + strings.Repeat("x", 65) + `","amount":100,"currency":"USD"}`:                          "orderId should be 6 to 64 letters, digits, - or _.",
		`{"orderId":"usage-1","amount":100,"currency":"USD","description":"` + strings.Repeat("x", 101) + `"}`: "description should be at most 100 printable characters.",
		// A name that could be anything is not given back.
		`{"orderId":"usage-1","whim-4012888888881881":true}`: "The body should be one JSON object with the fields of this route, none of them null.",
	} {
		w := open(t, path)
		was := w.state()
		if a := w.expect(400, "invalid_request", "POST", path, server(""), body); a.body["detail"] != detail {
			t.Errorf("%s: got detail %q, want %q", body, a.body["detail"], detail)
		}
		w.nothingChanged(was, body)
		if strings.Contains(w.logs.String(), "whim") {
			t.Errorf("%s: got the log %s, want nothing that the sender made up", body, w.logs)
		}
	}
}
