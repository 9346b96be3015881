package toss

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"grantline/infra/sim/stage"
)

// Payment is Toss Payments' own object of that name, with fields that no document of this
// version names: they are added without a new version.
type Payment struct {
	MID                 string         `json:"mId"`
	LastTransactionKey  *string        `json:"lastTransactionKey"`
	PaymentKey          string         `json:"paymentKey"`
	OrderID             string         `json:"orderId"`
	OrderName           string         `json:"orderName"`
	TaxExemptionAmount  int64          `json:"taxExemptionAmount"`
	Status              string         `json:"status"`
	RequestedAt         string         `json:"requestedAt"`
	ApprovedAt          *string        `json:"approvedAt"`
	UseEscrow           bool           `json:"useEscrow"`
	CultureExpense      bool           `json:"cultureExpense"`
	Card                *card          `json:"card"`
	VirtualAccount      *struct{}      `json:"virtualAccount"`
	Transfer            *struct{}      `json:"transfer"`
	MobilePhone         *struct{}      `json:"mobilePhone"`
	GiftCertificate     *struct{}      `json:"giftCertificate"`
	CashReceipt         *struct{}      `json:"cashReceipt"`
	CashReceipts        *struct{}      `json:"cashReceipts"`
	Discount            *struct{}      `json:"discount"`
	Cancels             []cancellation `json:"cancels"`
	Secret              string         `json:"secret"`
	Type                string         `json:"type"`
	EasyPay             *struct{}      `json:"easyPay"`
	Country             string         `json:"country"`
	Failure             *failure       `json:"failure"`
	IsPartialCancelable bool           `json:"isPartialCancelable"`
	Receipt             *link          `json:"receipt"`
	Checkout            link           `json:"checkout"`
	TransactionKey      *string        `json:"transactionKey"`
	Currency            string         `json:"currency"`
	TotalAmount         int64          `json:"totalAmount"`
	BalanceAmount       int64          `json:"balanceAmount"`
	SuppliedAmount      int64          `json:"suppliedAmount"`
	VAT                 int64          `json:"vat"`
	TaxFreeAmount       int64          `json:"taxFreeAmount"`
	Metadata            *struct{}      `json:"metadata"`
	Method              string         `json:"method"`
	Version             string         `json:"version"`
	Added               map[string]any `json:"addedWithoutAVersion"`

	customerKey string
}

type card struct {
	Company               string  `json:"company"`
	IssuerCode            string  `json:"issuerCode"`
	AcquirerCode          string  `json:"acquirerCode"`
	Number                string  `json:"number"`
	InstallmentPlanMonths int     `json:"installmentPlanMonths"`
	IsInterestFree        bool    `json:"isInterestFree"`
	InterestPayer         *string `json:"interestPayer"`
	ApproveNo             string  `json:"approveNo"`
	UseCardPoint          bool    `json:"useCardPoint"`
	CardType              string  `json:"cardType"`
	OwnerType             string  `json:"ownerType"`
	AcquireStatus         string  `json:"acquireStatus"`
	ReceiptURL            string  `json:"receiptUrl"`
	Amount                int64   `json:"amount"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type link struct {
	URL string `json:"url"`
}

type cancellation struct {
	TransactionKey         string  `json:"transactionKey"`
	CancelReason           string  `json:"cancelReason"`
	TaxExemptionAmount     int64   `json:"taxExemptionAmount"`
	CanceledAt             string  `json:"canceledAt"`
	CardDiscountAmount     int64   `json:"cardDiscountAmount"`
	TransferDiscountAmount int64   `json:"transferDiscountAmount"`
	EasyPayDiscountAmount  int64   `json:"easyPayDiscountAmount"`
	ReceiptKey             *string `json:"receiptKey"`
	CancelAmount           int64   `json:"cancelAmount"`
	TaxFreeAmount          int64   `json:"taxFreeAmount"`
	RefundableAmount       int64   `json:"refundableAmount"`
	CancelStatus           string  `json:"cancelStatus"`
	CancelRequestID        *string `json:"cancelRequestId"`
}

// newPayment is a payment asked for at requested and not decided.
func (s *Simulator) newPayment(shop *shop, in chargeRequest, requested time.Time) *Payment {
	key := s.stage.Text(48, stage.Alphanumeric)
	transaction := s.stage.Text(32, "0123456789ABCDEF")
	receipt := "https://receipt.example.com/redirection?transactionId=" + transaction
	p := &Payment{
		MID: shop.mID, LastTransactionKey: &transaction, TransactionKey: &transaction, PaymentKey: key,
		OrderID: in.OrderID, OrderName: in.OrderName,
		Status: "IN_PROGRESS", Type: "BILLING", Method: "카드", Country: "KR", Currency: "KRW", Version: "2022-07-27",
		RequestedAt: requested.In(seoul).Format(time.RFC3339),
		TotalAmount: in.Amount, BalanceAmount: in.Amount, TaxFreeAmount: in.TaxFree, TaxExemptionAmount: in.TaxExempt,
		IsPartialCancelable: in.TaxExempt == 0,
		Secret:              "ps_" + s.stage.Text(32, stage.Alphanumeric),
		Receipt:             &link{receipt},
		Checkout:            link{"https://checkout.example.com/v1/payments/" + key + "/checkout"},
		Card: &card{
			Company: "토스뱅크", IssuerCode: "24", AcquirerCode: "21", Number: "53275010****222*",
			ApproveNo: "00000000", CardType: "신용", OwnerType: "개인", AcquireStatus: "READY",
			ReceiptURL: receipt, Amount: in.Amount,
		},
		Added:       map[string]any{"kind": "simulated", "list": []int{1, 2}},
		customerKey: in.CustomerKey,
	}
	p.tax()
	return p
}

// tax splits what is left into supply and value added tax, a tenth of the supply.
func (p *Payment) tax() {
	taxable := max(p.BalanceAmount-p.TaxFreeAmount-p.TaxExemptionAmount, 0)
	p.VAT = (taxable + 5) / 11
	p.SuppliedAmount = taxable - p.VAT
}

func (p *Payment) approve(at time.Time) {
	p.Status, p.ApprovedAt = "DONE", ptr(at.In(seoul).Format(time.RFC3339))
}

func (p *Payment) abort(code string) {
	p.Status, p.Failure = "ABORTED", &failure{code, "결제가 승인되지 않았습니다."}
	p.LastTransactionKey, p.TransactionKey, p.Receipt = nil, nil, nil
}

// get looks a payment up by its key.
func (s *Simulator) get(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.show(q, q.shop.payments[q.PathValue("paymentKey")])
}

// getOrder looks a payment up by its orderId. What is still in flight is not found.
func (s *Simulator) getOrder(q *query) stage.Answer {
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	known := q.shop.orders[q.PathValue("orderId")]
	if known == nil {
		return q.refuse("NOT_FOUND_PAYMENT")
	}
	return s.show(q, known.payment)
}

func (s *Simulator) show(q *query, p *Payment) stage.Answer {
	if p == nil || p.Status == "ABORTED" && *s.settings.DeclinedLookup == "404" {
		return q.refuse("NOT_FOUND_PAYMENT")
	}
	return stage.JSON(http.StatusOK, p)
}

// cancel gives money back, whole or in part.
func (s *Simulator) cancel(q *query) stage.Answer {
	var in struct {
		CancelReason     *string     `json:"cancelReason"`
		CancelAmount     json.Number `json:"cancelAmount"`
		RefundableAmount json.Number `json:"refundableAmount"`
		TaxFreeAmount    json.Number `json:"taxFreeAmount"`
	}
	if !q.decode(&in) || in.CancelReason == nil || *in.CancelReason == "" || utf8.RuneCountInString(*in.CancelReason) > 200 {
		return q.refuse("INVALID_REQUEST")
	}
	q.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := q.shop.payments[q.PathValue("paymentKey")]
	if p == nil {
		return q.refuse("NOT_FOUND_PAYMENT")
	}
	if code := cancelable(p); code != "" {
		return q.refuse(code)
	}
	amount, refundable, taxFree := p.BalanceAmount, p.BalanceAmount, int64(0)
	for _, field := range []struct {
		text json.Number
		to   *int64
	}{{in.CancelAmount, &amount}, {in.RefundableAmount, &refundable}, {in.TaxFreeAmount, &taxFree}} {
		if field.text == "" {
			continue
		}
		n, err := strconv.ParseInt(field.text.String(), 10, 64)
		if err != nil || n < 0 {
			return q.refuse("INVALID_REQUEST")
		}
		*field.to = n
	}
	switch {
	case refundable != p.BalanceAmount:
		return q.refuse("NOT_MATCHES_REFUNDABLE_AMOUNT")
	case amount == 0 || amount > p.BalanceAmount:
		return q.refuse("NOT_CANCELABLE_AMOUNT")
	case amount < p.TotalAmount && !p.IsPartialCancelable:
		return q.refuse("NOT_ALLOWED_PARTIAL_REFUND")
	case taxFree > min(amount, p.TaxFreeAmount):
		return q.refuse("INVALID_REQUEST")
	}
	if r, ok := s.refusals.Take(func(r CancelRefusal) bool {
		return fits(r.PaymentKey, p.PaymentKey) && fits(r.OrderID, p.OrderID)
	}); ok {
		return refusal(r.Code, r.Status, q.english)
	}
	s.giveBack(q.shop, p, amount, taxFree, *in.CancelReason, "")
	return stage.JSON(http.StatusOK, p)
}

// cancelable says with which code a cancel is refused whatever it is, "" if it is not.
func cancelable(p *Payment) string {
	switch p.Status {
	case "CANCELED":
		return "ALREADY_CANCELED_PAYMENT"
	case "DONE", "PARTIAL_CANCELED":
		return ""
	default:
		return "NOT_CANCELABLE_PAYMENT"
	}
}

// giveBack cancels an amount that there is. The caller holds mu.
func (s *Simulator) giveBack(shop *shop, p *Payment, amount, taxFree int64, reason, origin string) {
	// What was cancelled in parts stays PARTIAL_CANCELED even when nothing is left.
	p.Status = "PARTIAL_CANCELED"
	if amount == p.TotalAmount {
		p.Status = "CANCELED"
	}
	p.BalanceAmount -= amount
	p.TaxFreeAmount = min(p.TaxFreeAmount-taxFree, p.BalanceAmount)
	p.TaxExemptionAmount = min(p.TaxExemptionAmount, p.BalanceAmount-p.TaxFreeAmount)
	p.tax()
	now, transaction := s.stage.Now(), s.stage.Text(32, "0123456789ABCDEF")
	p.LastTransactionKey = &transaction
	p.Cancels = append(p.Cancels, cancellation{
		TransactionKey: transaction, CancelReason: reason, CancelAmount: amount, TaxFreeAmount: taxFree,
		CanceledAt: now.In(seoul).Format(time.RFC3339), RefundableAmount: p.BalanceAmount, CancelStatus: "DONE",
	})
	s.book(shop, p, transaction, amount, true, now)
	s.stage.Record(stage.Effect{
		Kind: "cancelled", OrderID: p.OrderID, Amount: amount, Currency: "KRW", PaymentKey: p.PaymentKey,
		CustomerKey: p.customerKey, TransactionID: transaction, Origin: origin,
	})
	s.cancelled(shop, p)
}
