package toss

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/mail"
	"reflect"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"

	"grantline/infra/sim/stage"
)

var (
	customerKeyPattern = regexp.MustCompile(`^[A-Za-z0-9\-_=.@]{2,300}$`)
	orderIDPattern     = regexp.MustCompile(`^[A-Za-z0-9_-]{6,64}$`)
)

// minimumCard is the least that a card can be charged, in won.
const minimumCard = 100

// billingKey stands for a card of one customer. It can be charged, and never looked up.
type billingKey struct {
	customerKey string
	removed     bool
}

// order is the one use of an orderId.
type order struct {
	open    bool // in flight
	payment *Payment
}

// issue turns an authKey into a billing key. Any authKey will do, once: the browser's part
// of the registration is not simulated.
func (s *Simulator) issue(q *query) stage.Answer {
	var in struct {
		AuthKey     *string `json:"authKey"`
		CustomerKey *string `json:"customerKey"`
	}
	if !q.decode(&in) || in.AuthKey == nil || in.CustomerKey == nil {
		return q.refuse("INVALID_REQUEST")
	}
	if n := utf8.RuneCountInString(*in.AuthKey); n < 1 || n > 300 {
		return q.refuse("INVALID_REQUEST")
	}
	if code := checkCustomerKey(*in.CustomerKey); code != "" {
		return q.refuse(code)
	}
	rejection, rejected := s.rejections.Take(func(r Rejection) bool {
		return fits(r.AuthKey, *in.AuthKey) && fits(r.CustomerKey, *in.CustomerKey)
	})
	s.mu.Lock()
	spent := q.shop.spent[*in.AuthKey]
	if !spent && !rejected {
		q.shop.spent[*in.AuthKey] = true
	}
	s.mu.Unlock()
	q.pause()
	switch {
	case spent:
		return q.refuse("INVALID_BILL_KEY_REQUEST")
	case rejected:
		s.stage.Record(stage.Effect{Kind: "refused", CustomerKey: *in.CustomerKey, Code: rejection.Code})
		return refusal(rejection.Code, rejection.Status, q.english)
	}
	// A billing key may end in "=", and then has two spellings in a path.
	key := base64.URLEncoding.EncodeToString(s.stage.Bytes(32))
	s.mu.Lock()
	q.shop.keys[key] = &billingKey{customerKey: *in.CustomerKey}
	s.mu.Unlock()
	s.stage.Record(stage.Effect{Kind: "issued", CustomerKey: *in.CustomerKey, BillingKey: key})
	return stage.JSON(http.StatusOK, map[string]any{
		"mId": q.shop.mID, "customerKey": *in.CustomerKey, "billingKey": key,
		"authenticatedAt": s.stage.Now().In(seoul).Format(time.RFC3339),
		"method":          "카드",
		"card": map[string]any{
			"issuerCode": "24", "acquirerCode": "21", "number": "53275010****222*",
			"cardType": "신용", "ownerType": "개인",
		},
		"transfers": []any{}, "cardCompany": "토스뱅크", "cardNumber": "53275010****222*",
		"addedWithoutAVersion": map[string]any{"kind": "simulated"},
	})
}

func checkCustomerKey(key string) string {
	switch {
	case utf8.RuneCountInString(key) > 300:
		return "FAILED_DB_PROCESSING" // seen at the real one
	case !customerKeyPattern.MatchString(key):
		return "INVALID_CUSTOMER_KEY"
	}
	return ""
}

// charge takes the money of one order from a billing key.
func (s *Simulator) charge(q *query) stage.Answer {
	in, code := q.readCharge()
	if code != "" {
		return q.refuse(code)
	}
	key := q.PathValue("billingKey")
	if code := s.reserve(q.shop, key, in); code != "" {
		return q.refuse(code)
	}
	requested := s.stage.Now()
	q.pause()

	decline, declined := s.decline(key, in)
	s.mu.Lock()
	defer s.mu.Unlock()
	approved := s.stage.Now()
	if lag := time.Duration(*s.settings.ApprovalLag); lag > 0 {
		approved = requested.Add(lag)
	}
	if declined && !decline.Paid {
		status := decline.Status
		if status == 0 {
			status = codes[decline.Code]
		}
		// What the caller gets as 5xx is not known to be a decline: no payment is shown.
		if status < 500 {
			payment := s.newPayment(q.shop, in, requested)
			payment.abort(decline.Code)
			q.shop.orders[in.OrderID] = &order{payment: payment}
			q.shop.payments[payment.PaymentKey] = payment
			s.stage.Record(stage.Effect{
				Kind: "declined", OrderID: in.OrderID, Amount: in.Amount, Currency: "KRW",
				Code: decline.Code, PaymentKey: payment.PaymentKey, BillingKey: key, CustomerKey: in.CustomerKey,
			})
		} else {
			delete(q.shop.orders, in.OrderID)
		}
		return refusal(decline.Code, status, q.english)
	}
	payment := s.newPayment(q.shop, in, requested)
	q.shop.orders[in.OrderID] = &order{payment: payment}
	s.take(q.shop, payment, approved, key, "")
	if declined {
		return refusal(decline.Code, decline.Status, q.english)
	}
	answer := stage.JSON(http.StatusOK, payment)
	answer.Hang = in.Amount%1000 == 503
	return answer
}

// take approves a payment. The caller holds mu.
func (s *Simulator) take(shop *shop, p *Payment, approved time.Time, key, origin string) {
	p.approve(approved)
	shop.payments[p.PaymentKey] = p
	s.book(shop, p, *p.LastTransactionKey, p.TotalAmount, false, approved)
	s.stage.Record(stage.Effect{
		Kind: "charged", OrderID: p.OrderID, Amount: p.TotalAmount, Currency: "KRW",
		PaymentKey: p.PaymentKey, BillingKey: key, CustomerKey: p.customerKey, Origin: origin,
	})
}

// decline says whether a charge is declined: by a control, else by the amount's last
// three digits, which mean nothing at the real one.
func (s *Simulator) decline(key string, in chargeRequest) (Decline, bool) {
	if d, ok := s.declines.Take(func(d Decline) bool {
		return fits(d.BillingKey, key) && fits(d.CustomerKey, in.CustomerKey) && fits(d.OrderID, in.OrderID)
	}); ok {
		return d, true
	}
	switch in.Amount % 1000 {
	case 401:
		return Decline{Code: "REJECT_CARD_PAYMENT"}, true
	case 402:
		return Decline{Code: "INVALID_STOPPED_CARD"}, true
	case 500:
		return Decline{Code: "FAILED_INTERNAL_SYSTEM_PROCESSING"}, true
	}
	return Decline{}, false
}

// reserve claims the orderId for a charge, or says why it cannot be made.
func (s *Simulator) reserve(shop *shop, key string, in chargeRequest) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	issued := shop.keys[key]
	switch {
	case issued == nil:
		return "INVALID_BILL_KEY_REQUEST"
	case issued.removed:
		return "ALREADY_REMOVED_BILLING_KEY"
	case issued.customerKey != in.CustomerKey:
		return "NOT_MATCHES_CUSTOMER_KEY"
	}
	if known := shop.orders[in.OrderID]; known != nil {
		if known.open {
			return "FORBIDDEN_CONSECUTIVE_REQUEST"
		}
		if known.payment.Status != "ABORTED" || !*s.settings.DeclinedOrderReuse {
			return "DUPLICATED_ORDER_ID"
		}
	}
	shop.orders[in.OrderID] = &order{open: true}
	return ""
}

// chargeRequest is a charge that passed the check of its fields.
type chargeRequest struct {
	Amount, TaxFree, TaxExempt      int64
	OrderID, OrderName, CustomerKey string
}

// readCharge reads a charge or gives the code of its first fault. Fields that the
// documents do not name are ignored.
func (q *query) readCharge() (chargeRequest, string) {
	var in struct {
		Amount             json.Number `json:"amount"`
		TaxFreeAmount      json.Number `json:"taxFreeAmount"`
		TaxExemptionAmount json.Number `json:"taxExemptionAmount"`
		CustomerKey        *string     `json:"customerKey"`
		OrderID            *string     `json:"orderId"`
		OrderName          *string     `json:"orderName"`
		CustomerEmail      *string     `json:"customerEmail"`
		CustomerName       *string     `json:"customerName"`
		CustomerIP         *string     `json:"customerIp"`
	}
	if !q.decode(&in) || in.Amount == "" || in.CustomerKey == nil || in.OrderID == nil || in.OrderName == nil {
		return chargeRequest{}, "INVALID_REQUEST"
	}
	out := chargeRequest{OrderID: *in.OrderID, OrderName: *in.OrderName, CustomerKey: *in.CustomerKey}
	for _, field := range []struct {
		text json.Number
		to   *int64
	}{{in.Amount, &out.Amount}, {in.TaxFreeAmount, &out.TaxFree}, {in.TaxExemptionAmount, &out.TaxExempt}} {
		if field.text == "" {
			continue
		}
		n, err := strconv.ParseInt(field.text.String(), 10, 64)
		if err != nil {
			return chargeRequest{}, "INVALID_REQUEST"
		}
		*field.to = n
	}
	name := utf8.RuneCountInString(out.OrderName)
	switch {
	case checkCustomerKey(out.CustomerKey) != "":
		return out, checkCustomerKey(out.CustomerKey)
	case !orderIDPattern.MatchString(out.OrderID):
		return out, "INVALID_ORDER_ID"
	case name < 1 || name > 100 || longer(in.CustomerName, 100) || longer(in.CustomerEmail, 100) || longer(in.CustomerIP, 64):
		return out, "INVALID_REQUEST"
	case in.CustomerEmail != nil && !isEmail(*in.CustomerEmail):
		return out, "INVALID_EMAIL"
	case out.Amount < minimumCard:
		return out, "BELOW_MINIMUM_AMOUNT"
	case out.TaxFree < 0 || out.TaxExempt < 0 || out.TaxFree > out.Amount || out.TaxExempt > out.Amount-out.TaxFree:
		return out, "INVALID_REQUEST"
	}
	return out, ""
}

// decode reads the body as JSON, if it says that it is. It is stricter than encoding/json:
// names have one spelling and a number in quotes is none.
func (q *query) decode(into any) bool {
	media, _, err := mime.ParseMediaType(q.Header.Get("Content-Type"))
	if err != nil || media != "application/json" || !utf8.Valid(q.body) {
		return false
	}
	var given map[string]json.RawMessage
	if json.Unmarshal(q.body, &given) != nil || given == nil {
		return false
	}
	exact := map[string]json.RawMessage{}
	fields := reflect.TypeOf(into).Elem()
	for i := range fields.NumField() {
		name := fields.Field(i).Tag.Get("json")
		value, ok := given[name]
		if !ok {
			continue
		}
		if fields.Field(i).Type == reflect.TypeFor[json.Number]() && value[0] == '"' {
			return false
		}
		exact[name] = value
	}
	body, err := json.Marshal(exact)
	return err == nil && json.Unmarshal(body, into) == nil
}

// remove deletes a billing key.
func (s *Simulator) remove(q *query) stage.Answer {
	key := q.PathValue("billingKey")
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	issued := q.shop.keys[key]
	switch {
	case issued == nil:
		return q.refuse("NOT_FOUND_BILLING")
	case issued.removed:
		return q.refuse("ALREADY_REMOVED_BILLING_KEY")
	}
	issued.removed = true
	s.stage.Record(stage.Effect{Kind: "keyDeleted", BillingKey: key, CustomerKey: issued.customerKey})
	s.forgotten(q.shop, key)
	return stage.Answer{Status: http.StatusOK}
}

// fits says whether a filter, empty for any, lets a value through.
func fits(filter, value string) bool { return filter == "" || filter == value }

func longer(text *string, n int) bool { return text != nil && utf8.RuneCountInString(*text) > n }

func isEmail(text string) bool {
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text
}
