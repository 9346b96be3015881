package delivery

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// revenueCat is the format that consumers of RevenueCat's webhooks understand. They know who
// calls by a fixed Authorization header, and take an event with a 200 and nothing else.
type revenueCat struct{}

func (revenueCat) Name() string { return RevenueCat }

func (revenueCat) Whole() bool { return true }

func (revenueCat) Compose(t Telling) (body []byte, header http.Header, skip bool, err error) {
	header = http.Header{}
	if t.Authorization != "" {
		header.Set("Authorization", t.Authorization)
	}
	if t.Event.Type == EndpointTest {
		body, err = json.Marshal(map[string]any{
			"api_version": "1.0",
			"event": map[string]any{
				"type": "TEST", "id": t.ID, "app_id": t.Scope.Project, "event_timestamp_ms": t.Event.At.UnixMilli(),
			},
		})
		if err != nil {
			return nil, nil, false, fmt.Errorf("delivery: bug: a webhook's body is no JSON: %w", err)
		}
		return body, header, false, nil
	}
	return nil, header, true, nil
}

func (revenueCat) OK(status int) bool { return status == http.StatusOK }
