package delivery

import (
	"encoding/json"
	"fmt"
	"net/http"

	"grantline/shared/protocols/revenuecat"
)

// revenueCat is the format that consumers of RevenueCat's webhooks understand. They know who
// calls by a fixed Authorization header, and take an event with a 200 and nothing else.
type revenueCat struct{}

func (revenueCat) Name() string { return RevenueCat }

func (revenueCat) Whole() bool { return true }

func (revenueCat) Compose(t Telling) (bodies [][]byte, header http.Header, err error) {
	header = http.Header{}
	if t.Authorization != "" {
		header.Set("Authorization", t.Authorization)
	}
	if t.Event.Type == EndpointTest {
		body, err := json.Marshal(map[string]any{
			"api_version": "1.0",
			"event": map[string]any{
				"type": "TEST", "id": t.ID, "app_id": t.Scope.Project, "event_timestamp_ms": t.Event.At.UnixMilli(),
			},
		})
		if err != nil {
			return nil, nil, fmt.Errorf("delivery: bug: a webhook's body is no JSON: %w", err)
		}
		return [][]byte{body}, header, nil
	}
	telling := revenuecat.Telling{
		Scope: t.Scope, CustomerID: t.CustomerID, OtherIDs: t.OtherIDs, Other: t.Event.OtherCustomerID, Event: t.Event.Event,
		Order: t.Order, Charge: t.Charge, Kind: t.Kind, Grace: t.Grace, Entitlements: t.Entitlements, ID: t.ID,
	}
	body, ok, err := revenuecat.Compose(telling)
	if err != nil {
		return nil, nil, err
	}
	also, err := revenuecat.Also(telling)
	if err != nil {
		return nil, nil, err
	}
	if ok {
		bodies = append(bodies, body)
	}
	return append(bodies, also...), header, nil
}

func (revenueCat) OK(status int) bool { return status == http.StatusOK }
