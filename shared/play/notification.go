package play

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json" // refuses a name that is given twice and text that is not UTF-8
	"github.com/go-json-experiment/json/jsontext"

	"grantline/shared/fault"
)

// Notification is what Play says has happened. It says where to look and nothing else
// counts: not its number, not its time.
type Notification struct {
	Package string    // of the app
	At      time.Time // of the event; zero where it cannot be read
	Kind    Kind
	Type    int    // Play's number, of KindSubscription and KindOneTime; 0 where none is given
	Token   string // of the purchase; "" of KindReview and KindTest
	SKU     string // product or subscription, where Play still says it
	Order   string // Play's id, of KindVoided and KindReview
	// ProductType and RefundType are Play's numbers of KindVoided.
	ProductType, RefundType int
	// PendingRefundToken answers the review of KindReview, and RefundReason is Play's number
	// of why there is one.
	PendingRefundToken string
	RefundReason       int
}

// wire is a DeveloperNotification (Real-time developer notifications reference).
type wire struct {
	PackageName     string            `json:"packageName"`
	EventTimeMillis jsontext.Value    `json:"eventTimeMillis,omitzero"`
	Subscription    *wireSubscription `json:"subscriptionNotification,omitzero"`
	OneTime         *wireOneTime      `json:"oneTimeProductNotification,omitzero"`
	Voided          *wireVoided       `json:"voidedPurchaseNotification,omitzero"`
	Review          *wireReview       `json:"pendingRefundReviewNotification,omitzero"`
	Test            *struct{}         `json:"testNotification,omitzero"`
}

type wireSubscription struct {
	Type  number `json:"notificationType"`
	Token string `json:"purchaseToken"`
	SKU   string `json:"subscriptionId,omitzero"` // deprecated
}

type wireOneTime struct {
	Type  number `json:"notificationType"`
	Token string `json:"purchaseToken"`
	SKU   string `json:"sku,omitzero"`
}

type wireVoided struct {
	Token       string `json:"purchaseToken"`
	Order       string `json:"orderId,omitzero"` // a promotion has none
	ProductType number `json:"productType"`
	RefundType  number `json:"refundType"`
}

type wireReview struct {
	Token  string `json:"pendingRefundToken"`
	Order  string `json:"orderId"`
	Reason number `json:"refundReason"`
}

// number is one of Play's enumerations. A client library may write it as text, as it does
// with 64 bits (ProtoJSON), and what it leaves out is 0.
type number int

var errNumber = errors.New("play: no number of an enumeration")

// UnmarshalJSON reads a whole number from 0 to 2^31 - 1, or its digits as text.
func (n *number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	if text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	v, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil {
		return errNumber
	}
	*n = number(v)
	return nil
}

// maxReview bounds the token of a review, in bytes. Play bounds it nowhere.
const maxReview = 16 << 10

// ParseNotification reads a DeveloperNotification. Members that it does not know are let
// pass. Errors: fault.Malformed for what says nothing that one could look at, with a cause
// that holds nothing of it.
func ParseNotification(data []byte) (Notification, error) {
	var w wire
	if json.Unmarshal(data, &w) != nil {
		return Notification{}, malformed("it is not the JSON of a notification")
	}
	if fitPackage(w.PackageName) != nil {
		return Notification{}, malformed("it has no package name")
	}
	n := Notification{Package: w.PackageName, At: instant(w.EventTimeMillis)}
	var kinds int
	if s := w.Subscription; s != nil {
		kinds++
		n.Kind, n.Type, n.Token, n.SKU = KindSubscription, int(s.Type), s.Token, s.SKU
	}
	if o := w.OneTime; o != nil {
		kinds++
		n.Kind, n.Type, n.Token, n.SKU = KindOneTime, int(o.Type), o.Token, o.SKU
	}
	if v := w.Voided; v != nil {
		kinds++
		n.Kind, n.Token, n.Order, n.ProductType, n.RefundType = KindVoided, v.Token, v.Order, int(v.ProductType), int(v.RefundType)
	}
	if r := w.Review; r != nil {
		kinds++
		n.Kind, n.PendingRefundToken, n.Order, n.RefundReason = KindReview, r.Token, r.Order, int(r.Reason)
	}
	if w.Test != nil {
		kinds++
		n.Kind = KindTest
	}
	if kinds != 1 {
		return Notification{}, malformed("it has none of the notifications, or several")
	}
	if fitProduct(n.SKU) != nil {
		n.SKU = "" // Play says what was bought when it is asked
	}
	if err := n.check(); err != nil {
		return Notification{}, err
	}
	return n, nil
}

// check refuses what a look could not begin with: what the Play Developer API cannot be
// asked for.
func (n Notification) check() error {
	switch n.Kind {
	case KindSubscription, KindOneTime, KindVoided:
		if !isToken(n.Token) {
			return malformed("it has no purchase token")
		}
	case KindReview:
		if r := n.PendingRefundToken; r == "" || len(r) > maxReview || !apiPrintable(r) || n.Order == "" {
			return malformed("it has no review to answer")
		}
	case KindTest:
	}
	if n.Order != "" && fitOrder(n.Order) != nil {
		return malformed("its order is none")
	}
	return nil
}

// Name is the notification as a word: its kind, and behind it Play's numbers.
func (n Notification) Name() string {
	switch n.Kind {
	case KindSubscription, KindOneTime:
		return fmt.Sprintf("%s.%d", n.Kind, n.Type)
	case KindVoided:
		return fmt.Sprintf("%s.%d.%d", n.Kind, n.ProductType, n.RefundType)
	case KindReview:
		return fmt.Sprintf("%s.%d", n.Kind, n.RefundReason)
	case KindTest:
	}
	return string(n.Kind)
}

// Evidence is n as ParseNotification reads it, always in the same bytes.
func (n Notification) Evidence() string {
	w := wire{PackageName: n.Package}
	if !n.At.IsZero() {
		w.EventTimeMillis = jsontext.Value(strconv.Quote(strconv.FormatInt(n.At.UnixMilli(), 10)))
	}
	switch n.Kind {
	case KindSubscription:
		w.Subscription = &wireSubscription{number(n.Type), n.Token, n.SKU}
	case KindOneTime:
		w.OneTime = &wireOneTime{number(n.Type), n.Token, n.SKU}
	case KindVoided:
		w.Voided = &wireVoided{n.Token, n.Order, number(n.ProductType), number(n.RefundType)}
	case KindReview:
		w.Review = &wireReview{n.PendingRefundToken, n.Order, number(n.RefundReason)}
	case KindTest:
		w.Test = &struct{}{}
	}
	text, err := json.Marshal(w)
	if err != nil {
		panic("play: bug: a notification that is no JSON: " + err.Error())
	}
	return string(text)
}

// lastMilli is the end of the year 9999, which is the last that RFC 3339 can write.
const lastMilli = 253402300799999

// instant reads milliseconds since 1970, which Play writes as text and calls a number. It is
// no reason to refuse a notification, since nothing rests on it.
func instant(value jsontext.Value) time.Time {
	digits := string(value)
	if len(digits) >= 2 && digits[0] == '"' {
		digits = digits[1 : len(digits)-1]
	}
	ms, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || ms <= 0 || ms > lastMilli {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func malformed(why string) error {
	return fault.New(fault.Malformed, "unreadable_notification", "This is no notification of Google Play.").Because(errors.New("play: " + why))
}
