package toss

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"

	"github.com/go-json-experiment/json" // refuses duplicate names and invalid UTF-8, which encoding/json lets through
	"github.com/go-json-experiment/json/jsontext"

	"grantline/shared/fault"
)

// maxHint bounds the body of a webhook, in bytes. A payment with a hundred cancels is 50 KB.
const maxHint = 256 << 10

// How ids in a webhook look (Toss Payments reference, "Webhook events" and "Payment"). What
// looks otherwise is dropped, so that a hint can stand in an address, a key and a log.
var (
	sendingShape = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,200}$`)
	eventShape   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,63}$`)
	paymentShape = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)
)

// Hint is what a webhook says, which anybody may have sent: Toss signs none about
// payments. It says where to look, and nothing that could be acted on.
type Hint struct {
	// ID is the same for each time that Toss sends this webhook, and whatever a forger
	// likes; where there is none it is the body's SHA-256 in hex.
	ID      string
	Type    string // Toss's name of the event, "" if it has none
	OrderID string // "" if it names none of ours
	Payment string // paymentKey, "" if it names none
}

// ReadHint reads a webhook (Toss Payments reference, "Webhook events"). Only events about a
// payment name one; the billing key that BILLING_DELETED brings is a secret, and neither
// kept nor said. Errors are fault.Malformed with code "invalid_webhook", and hold nothing
// of what was sent.
func ReadHint(header http.Header, body []byte) (Hint, error) {
	if len(body) > maxHint {
		return Hint{}, malformed("The body is too large.")
	}
	var event struct {
		Type *string        `json:"eventType"`
		Data jsontext.Value `json:"data"`
	}
	// The cause is left out: it may quote what was sent.
	if jsontext.Value(body).Kind() != '{' || json.Unmarshal(body, &event) != nil {
		return Hint{}, malformed("The body should be one JSON object.")
	}
	hint := Hint{ID: header.Get("Tosspayments-Webhook-Transmission-Id")}
	if !sendingShape.MatchString(hint.ID) {
		sum := sha256.Sum256(body)
		hint.ID = hex.EncodeToString(sum[:])
	}
	if event.Type == nil {
		return hint, nil // as DEPOSIT_CALLBACK comes, which no billing key causes
	}
	if hint.Type = *event.Type; !eventShape.MatchString(hint.Type) {
		return Hint{}, malformed("eventType should be the name of an event.")
	}
	if hint.Type != "PAYMENT_STATUS_CHANGED" && hint.Type != "CANCEL_STATUS_CHANGED" {
		return hint, nil
	}
	payment := readObject(event.Data)
	if id := payment.text("orderId"); orderShape.MatchString(id) {
		hint.OrderID = id
	}
	if key := payment.text("paymentKey"); paymentShape.MatchString(key) {
		hint.Payment = key
	}
	if hint.OrderID == "" && hint.Payment == "" {
		return Hint{}, malformed("data should name a payment.")
	}
	return hint, nil
}

func malformed(detail string) error {
	return fault.New(fault.Malformed, "invalid_webhook", "%s", detail)
}
