package play

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"grantline/shared/notice"
	"grantline/shared/purchase"
)

// The headers of a push that is not wrapped and comes with its metadata (Pub/Sub, payload
// unwrapping).
const (
	messageHeader      = "X-Goog-Pubsub-Message-Id"
	subscriptionHeader = "X-Goog-Pubsub-Subscription-Name"
)

// message is what Pub/Sub delivers.
type message struct {
	id           string // "" where Pub/Sub does not say it
	subscription string // "" where Pub/Sub does not say it
	data         string // base64 of the notification, where it is wrapped
	bare         []byte // the notification, where it is not
}

// unwrap reads a body in either form. A body that has a "message" is wrapped, and then no
// header counts.
func unwrap(header http.Header, body []byte) (message, error) {
	var outer struct {
		Message      jsontext.Value `json:"message"`
		Subscription jsontext.Value `json:"subscription"`
	}
	if json.Unmarshal(body, &outer) != nil {
		return message{}, malformed("it is not the JSON of a push")
	}
	if len(outer.Message) == 0 {
		return message{id: only(header, messageHeader), subscription: only(header, subscriptionHeader), bare: body}, nil
	}
	var inner struct {
		Data    jsontext.Value `json:"data"`
		ID      jsontext.Value `json:"messageId"`
		SnakeID jsontext.Value `json:"message_id"`
	}
	if json.Unmarshal(outer.Message, &inner) != nil {
		return message{}, malformed("its message is no object")
	}
	m := message{id: text(inner.ID), subscription: text(outer.Subscription), data: text(inner.Data)}
	if snake := text(inner.SnakeID); m.id == "" {
		m.id = snake
	} else if snake != "" && snake != m.id {
		m.id = "" // they are two names of one thing; of two things, neither names it
	}
	return m, nil
}

// notification is what was published. Both alphabets of base64 are read, with padding and
// without, as ProtoJSON has it.
func (m message) notification() ([]byte, error) {
	if m.bare != nil {
		return m.bare, nil
	}
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(m.data, "="))
	data, err := base64.RawStdEncoding.DecodeString(standard)
	if err != nil {
		return nil, malformed("its message holds no base64")
	}
	return data, nil
}

// text is what a JSON string says, "" for any other value.
func text(value jsontext.Value) string {
	var s string
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}

// only is the value of a header that is there once.
func only(header http.Header, name string) string {
	if values := header.Values(name); len(values) == 1 {
		return values[0]
	}
	return ""
}

// hashOf names a body that Pub/Sub did not name.
func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256-" + hex.EncodeToString(sum[:])
}

// hint says where n points to. A test names nothing.
func (n Notification) hint(id string) notice.Hint {
	h := notice.Hint{Signed: true, ID: id, Type: n.Name()}
	if n.Outcome() == OutcomeNothing {
		return h
	}
	h.Evidence = n.Evidence()
	if n.Token != "" {
		h.Line = TokenID(n.Token)
	}
	if n.Order != "" {
		h.Order = purchase.OrderID(Name, n.Order)
	}
	return h
}
