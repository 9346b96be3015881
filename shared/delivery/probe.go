package delivery

import (
	"context"
	"crypto/rand"
	"strings"

	"grantline/shared/customer"
	"grantline/shared/event"
	"grantline/shared/table"
)

// Tested is what an endpoint made of a test.
type Tested struct {
	Taken  bool
	Status int    // 0: no answer
	Why    string // in our own words, "" if it was taken
}

// Test sends one event of the type endpoint.test now, whether the endpoint is active or not, and
// tries it once. Errors: fault.NotFound.
func (r *Registry) Test(ctx context.Context, scope table.Scope, id string) (Tested, error) {
	of, err := read(ctx, r.Tables.Get, scope)
	if err != nil {
		return Tested{}, err
	}
	e, ok := of.find(id)
	if !ok {
		return Tested{}, noEndpoint()
	}
	secrets, err := r.secrets(ctx, scope, of)
	if err != nil {
		return Tested{}, err
	}
	now := r.Clock.Now().UTC()
	t := Telling{
		Scope: scope, ID: "test_" + strings.ToLower(rand.Text()), Authorization: secrets[id].Authorization,
		Event: customer.Told{Event: event.Event{Type: EndpointTest, At: now}},
	}
	bodies, header, err := formats[e.Format].Compose(t)
	if err != nil || len(bodies) == 0 {
		return Tested{}, err
	}
	o, err := r.Courier.post(ctx, e, secrets[id], t.ID, now, bodies[0], header)
	return Tested{o.OK, o.Status, o.Why}, err
}
