package deployment

import (
	"context"

	"grantline/shared/billing"
	"grantline/shared/clock"
	"grantline/shared/customer"
	"grantline/shared/delivery"
	"grantline/shared/purchase"
	"grantline/shared/simulate/version"
	"grantline/shared/table"
)

// Billing is what the API asks of billing; see billing.Biller.
type Billing interface {
	Subscribe(ctx context.Context, scope table.Scope, ask billing.SignUp) (billing.Created, error)
	Cancel(ctx context.Context, scope table.Scope, id string, atOnce bool) (billing.Subscription, error)
	Charges(ctx context.Context, scope table.Scope, s billing.Subscription) ([]billing.Charge, error)
	Resume(ctx context.Context, scope table.Scope, id string) (billing.Subscription, error)
	ChangeMethod(ctx context.Context, scope table.Scope, id string, card *billing.NewCard, returnURL string) (s billing.Subscription, link string, waiting bool, err error)
	ChangePlan(ctx context.Context, scope table.Scope, id, planID string) (billing.Subscription, error)
	Refund(ctx context.Context, scope table.Scope, ask billing.RefundAsk) (billing.Charge, billing.Refund, error)
	Demand(ctx context.Context, scope table.Scope, id string, ask billing.Demand) (billing.Charge, error)
	Erase(ctx context.Context, scope table.Scope, id string) error
}

// Customers is what the API asks of customers; see customer.Directory. The customer itself is nil
// where another version answered.
type Customers interface {
	Grant(ctx context.Context, scope table.Scope, id string, g customer.Grant, clk clock.Clock) (*customer.Customer, error)
	Revoke(ctx context.Context, scope table.Scope, id string, g customer.Grant, clk clock.Clock) (*customer.Customer, error)
	Credit(ctx context.Context, scope table.Scope, id string, ask customer.CreditAsk, clk clock.Clock) (customer.Credit, *customer.Customer, error)
	Spend(ctx context.Context, scope table.Scope, id string, ask customer.SpendAsk, clk clock.Clock) (customer.Spend, *customer.Customer, error)
	Unspend(ctx context.Context, scope table.Scope, id string, ask customer.UnspendAsk, clk clock.Clock) (customer.SpendRefund, customer.Spend, *customer.Customer, error)
	Join(ctx context.Context, scope table.Scope, ask customer.Alias, clk clock.Clock) (*customer.Customer, error)
	Erase(ctx context.Context, scope table.Scope, id string, clk clock.Clock, over ...string) error
	SignedIn(ctx context.Context, scope table.Scope, id string, clk clock.Clock) error
}

// Purchases is what is asked of purchases; see purchase.Book. The customer is nil where another
// version answered.
type Purchases interface {
	Claim(ctx context.Context, scope table.Scope, id string, p purchase.Proof) (purchase.Claimed, error)
}

// Endpoints is what the API asks of the registry of endpoints; see delivery.Registry. An endpoint
// and its secrets are nobody's where another version answered.
type Endpoints interface {
	Create(ctx context.Context, scope table.Scope, ask delivery.NewEndpoint) (delivery.Endpoint, *delivery.Secrets, error)
	Change(ctx context.Context, scope table.Scope, id string, to delivery.Change) (delivery.Endpoint, error)
	Remove(ctx context.Context, scope table.Scope, id string) error
	Rotate(ctx context.Context, scope table.Scope, id, authorization string) (delivery.Endpoint, delivery.Secrets, error)
	Redrive(ctx context.Context, scope table.Scope, id string) (done int, more bool, err error)
	Replay(ctx context.Context, scope table.Scope, id, ref string, after int64) error
	Test(ctx context.Context, scope table.Scope, id string) (delivery.Tested, error)
}

// asks makes a request to another version, and reads what it answers.
func asks(ctx context.Context, c version.Code, verb string, arguments []any, into ...any) error {
	texts, err := version.Arguments(arguments...)
	if err != nil {
		return err
	}
	answer, err := c.Ask(ctx, verb, texts...)
	if err != nil || len(into) == 0 {
		return err
	}
	if texts, err = version.Arguments(answer...); err != nil {
		return err
	}
	return version.Read(texts, into...)
}

type olderBilling struct{ version.Code }

func (o olderBilling) Subscribe(ctx context.Context, scope table.Scope, ask billing.SignUp) (made billing.Created, err error) {
	err = asks(ctx, o, "subscribe", []any{scope, ask}, &made)
	return made, err
}

func (o olderBilling) Cancel(ctx context.Context, scope table.Scope, id string, atOnce bool) (s billing.Subscription, err error) {
	err = asks(ctx, o, "cancel", []any{scope, id, atOnce}, &s)
	return s, err
}

func (o olderBilling) Charges(ctx context.Context, scope table.Scope, s billing.Subscription) (charges []billing.Charge, err error) {
	err = asks(ctx, o, "charges", []any{scope, s}, &charges)
	return charges, err
}

func (o olderBilling) Resume(ctx context.Context, scope table.Scope, id string) (s billing.Subscription, err error) {
	err = asks(ctx, o, "resume", []any{scope, id}, &s)
	return s, err
}

func (o olderBilling) ChangeMethod(ctx context.Context, scope table.Scope, id string, card *billing.NewCard, returnURL string) (s billing.Subscription, link string, waiting bool, err error) {
	err = asks(ctx, o, "change method", []any{scope, id, card, returnURL}, &s, &link, &waiting)
	return s, link, waiting, err
}

func (o olderBilling) ChangePlan(ctx context.Context, scope table.Scope, id, planID string) (s billing.Subscription, err error) {
	err = asks(ctx, o, "change plan", []any{scope, id, planID}, &s)
	return s, err
}

func (o olderBilling) Refund(ctx context.Context, scope table.Scope, ask billing.RefundAsk) (c billing.Charge, r billing.Refund, err error) {
	err = asks(ctx, o, "refund", []any{scope, ask}, &c, &r)
	return c, r, err
}

func (o olderBilling) Demand(ctx context.Context, scope table.Scope, id string, ask billing.Demand) (c billing.Charge, err error) {
	err = asks(ctx, o, "demand", []any{scope, id, ask}, &c)
	return c, err
}

func (o olderBilling) Erase(ctx context.Context, scope table.Scope, id string) error {
	return asks(ctx, o, "erase subscription", []any{scope, id})
}

// olderCustomers has the clock of its own wiring.
type olderCustomers struct{ version.Code }

func (o olderCustomers) Grant(ctx context.Context, scope table.Scope, id string, g customer.Grant, _ clock.Clock) (*customer.Customer, error) {
	return nil, asks(ctx, o, "grant", []any{scope, id, g})
}

func (o olderCustomers) Revoke(ctx context.Context, scope table.Scope, id string, g customer.Grant, _ clock.Clock) (*customer.Customer, error) {
	return nil, asks(ctx, o, "revoke", []any{scope, id, g})
}

func (o olderCustomers) Credit(ctx context.Context, scope table.Scope, id string, ask customer.CreditAsk, _ clock.Clock) (c customer.Credit, none *customer.Customer, err error) {
	err = asks(ctx, o, "credit", []any{scope, id, ask}, &c)
	return c, nil, err
}

func (o olderCustomers) Spend(ctx context.Context, scope table.Scope, id string, ask customer.SpendAsk, _ clock.Clock) (s customer.Spend, none *customer.Customer, err error) {
	err = asks(ctx, o, "spend", []any{scope, id, ask}, &s)
	return s, nil, err
}

func (o olderCustomers) Unspend(ctx context.Context, scope table.Scope, id string, ask customer.UnspendAsk, _ clock.Clock) (r customer.SpendRefund, s customer.Spend, none *customer.Customer, err error) {
	err = asks(ctx, o, "unspend", []any{scope, id, ask}, &r, &s)
	return r, s, nil, err
}

func (o olderCustomers) Join(ctx context.Context, scope table.Scope, ask customer.Alias, _ clock.Clock) (*customer.Customer, error) {
	return nil, asks(ctx, o, "join", []any{scope, ask.ID, ask})
}

func (o olderCustomers) Erase(ctx context.Context, scope table.Scope, id string, _ clock.Clock, _ ...string) error {
	return asks(ctx, o, "erase customer", []any{scope, id})
}

func (o olderCustomers) SignedIn(ctx context.Context, scope table.Scope, id string, _ clock.Clock) error {
	return asks(ctx, o, "sign in", []any{scope, id})
}

type olderPurchases struct{ version.Code }

func (o olderPurchases) Claim(ctx context.Context, scope table.Scope, id string, p purchase.Proof) (got purchase.Claimed, err error) {
	err = asks(ctx, o, "claim", []any{scope, id, p}, &got.Order)
	return got, err
}

type olderEndpoints struct{ version.Code }

func (o olderEndpoints) Create(ctx context.Context, scope table.Scope, ask delivery.NewEndpoint) (delivery.Endpoint, *delivery.Secrets, error) {
	return delivery.Endpoint{}, nil, asks(ctx, o, "create endpoint", []any{scope, ask})
}

func (o olderEndpoints) Change(ctx context.Context, scope table.Scope, id string, to delivery.Change) (delivery.Endpoint, error) {
	if to.Types != nil && *to.Types == nil {
		to.Types = &[]string{} // all types, which as null would be no change of them
	}
	return delivery.Endpoint{}, asks(ctx, o, "change endpoint", []any{scope, id, to})
}

func (o olderEndpoints) Remove(ctx context.Context, scope table.Scope, id string) error {
	return asks(ctx, o, "remove endpoint", []any{scope, id})
}

func (o olderEndpoints) Rotate(ctx context.Context, scope table.Scope, id, authorization string) (delivery.Endpoint, delivery.Secrets, error) {
	return delivery.Endpoint{}, delivery.Secrets{}, asks(ctx, o, "rotate secret", []any{scope, id, authorization})
}

func (o olderEndpoints) Redrive(ctx context.Context, scope table.Scope, id string) (done int, more bool, err error) {
	err = asks(ctx, o, "redrive", []any{scope, id}, &done, &more)
	return done, more, err
}

func (o olderEndpoints) Replay(ctx context.Context, scope table.Scope, id, ref string, after int64) error {
	return asks(ctx, o, "replay", []any{scope, id, ref, after})
}

func (o olderEndpoints) Test(ctx context.Context, scope table.Scope, id string) (delivery.Tested, error) {
	return delivery.Tested{}, asks(ctx, o, "test endpoint", []any{scope, id})
}
