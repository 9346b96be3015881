package appsintoss

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"grantline/shared/purchase"
)

// kind says what to do about an answer.
type kind int

const (
	trouble    kind = iota // no word about the order: ask again, not often
	settled                // sale or err is the answer
	inProgress             // sale is pending; ask again
	missing                // not known, perhaps not yet
	limited                // too many requests: ask again after wait
	again                  // ask again at once, with another certificate
)

// word is what an answer says.
type word struct {
	kind    kind
	sale    purchase.Sale
	err     error
	wait    time.Duration // of limited
	refused bool          // us, not the order: the certificate may have been replaced
	alarm   bool          // a person is needed
	foreign bool          // another mini-app's order
	why     string        // for the log
}

// codeShape is what may be quoted from an answer.
var codeShape = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// uuidShape is what an orderId is documented to be.
var uuidShape = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// tooMany is the errorCode of more than 3,000 requests a minute (Apps-in-Toss, "in-app purchase API").
const tooMany = "4095"

// judge is the one place where the store's vocabulary meets ours. Nothing but the two
// words for a completed payment is ever Paid.
func judge(got reply, orderID string, p purchase.Proof, asOf time.Time) word {
	sku, withUser := p.SKU, p.UserKey != ""
	status := "status " + strconv.Itoa(got.status)
	failure := got.body.object("error")
	code := failure.text("errorCode")
	switch {
	case got.err != nil:
		return word{kind: trouble, why: got.err.Error(), refused: got.refused, alarm: got.err.Error() == handshakeRefused}
	case code == tooMany:
		wait, ok := seconds(failure.object("data").text("retryAfterSeconds"))
		if !ok {
			return word{kind: trouble, why: "too many requests"}
		}
		return word{kind: limited, wait: wait, why: "too many requests"}
	case got.status == http.StatusUnauthorized, got.status == http.StatusForbidden,
		// Proxies answer so to a certificate that they do not know.
		got.status == http.StatusBadRequest && got.body == nil:
		return word{kind: settled, err: unavailable(status), refused: true, alarm: true, why: status}
	case got.status == http.StatusBadRequest && !withUser && uuidShape.MatchString(orderID):
		// A 400 is about a field, and there is nothing wrong with this one: the store has
		// come to require the user key (its pages disagree), which says nothing of the order.
		return strange("status 400 without a user key")
	case got.status == http.StatusBadRequest:
		return word{kind: settled, err: invalid("The store does not take this for an order."), why: status}
	case got.status != http.StatusOK || got.body == nil:
		return word{kind: trouble, why: status + " and no word"}
	case got.body.text("resultType") != "SUCCESS":
		return word{kind: trouble, why: "result " + quotable(got.body.text("resultType")) + ", code " + quotable(code)}
	}

	order := got.body.object("success")
	if order.text("orderId") != orderID {
		return strange("the answer is about another order")
	}
	state := order.text("status")
	theirs := order.text("sku")
	sale := purchase.Sale{Store: Name, Line: orderID, Order: orderID, SKU: theirs, AsOf: asOf, Quantity: 1}
	switch state {
	case "PAYMENT_COMPLETED", "PURCHASED":
		// Toss's pages disagree on which of them follows the grant. Both are paid, and
		// whether we granted is in our own book.
		if theirs == "" {
			return strange("a paid order without a sku")
		}
		sale.State, sale.PurchasedAt = purchase.Paid, determined(order.text("statusDeterminedAt"))
	case "REFUNDED":
		sale.State = purchase.Refunded
	case "FAILED":
		sale.State = purchase.Failed
	case "ORDER_IN_PROGRESS":
		sale.State = purchase.Pending
	case "NOT_FOUND":
		return word{kind: missing, why: "order not known"}
	case "MINIAPP_MISMATCH":
		return word{kind: settled, err: invalid("The order is not one of this app."), foreign: true, why: "another mini-app's order"}
	case "ERROR":
		return word{kind: trouble, why: "status ERROR"}
	default:
		return strange("status " + quotable(state))
	}
	if sku != "" && theirs != "" && sku != theirs {
		return word{kind: settled, err: invalid("The order is of another product."), why: "another sku than the app says"}
	}
	if sale.State == purchase.Pending {
		return word{kind: inProgress, sale: sale, why: "in progress"}
	}
	return word{kind: settled, sale: sale}
}

// strange is a word that nobody can act on before a person has read it.
func strange(why string) word {
	return word{kind: settled, err: unavailable(why), alarm: true, why: why}
}

// quotable keeps foreign text out of the log unless it looks like a code.
func quotable(s string) string {
	if !codeShape.MatchString(s) {
		return "unreadable"
	}
	return s
}

// determined reads statusDeterminedAt. It is documented with a zone and has been seen
// without, when nobody knows which instant it is: then it is zero.
func determined(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}

// seconds reads a wait, of at most an hour.
func seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0) {
		return 0, false
	}
	return time.Duration(min(n, 3600) * float64(time.Second)), true
}

// maxText bounds a text that is taken from an answer, in bytes.
const maxText = 200

// object is a JSON object of an answer. Names are compared with their case, which
// encoding/json's structs do not.
type object map[string]json.RawMessage

// readObject reads text, or returns nil if it is not one JSON object in UTF-8.
func readObject(text []byte) object {
	var o object
	if !utf8.Valid(text) || json.Unmarshal(text, &o) != nil {
		return nil
	}
	return o
}

// object is a member that is an object, nil if it is not.
func (o object) object(name string) object { return readObject(o[name]) }

// text is a member that is a text of up to maxText bytes, or a number as it was written;
// "" if it is neither.
func (o object) text(name string) string {
	raw := o[name]
	if len(raw) == 0 || len(raw) > 6*maxText {
		return ""
	}
	if strings.IndexByte("-0123456789", raw[0]) >= 0 {
		return string(raw)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil || len(s) > maxText {
		return ""
	}
	return s
}
