package sim_test

import (
	"net/http"
	"testing"

	"golang.org/x/oauth2/google"
	"google.golang.org/api/androidpublisher/v3"
	"google.golang.org/api/option"

	"grantline/infra/sim"
	"grantline/infra/sim/play"
)

func TestPlayIsReachedAsItsEnvironmentSays(t *testing.T) {
	server := start(t, sim.Options{})
	env := server.Env()
	config, err := google.JWTConfigFromJSON([]byte(env["PLAY_CREDENTIALS"]), androidpublisher.AndroidpublisherScope)
	if err != nil {
		t.Fatal(err)
	}
	api, err := androidpublisher.NewService(t.Context(), option.WithTokenSource(config.TokenSource(t.Context())), option.WithEndpoint(env["PLAY_API_URL"]+"/"))
	if err != nil {
		t.Fatal(err)
	}
	bought, err := server.Play.Buy(play.Purchase{ProductID: "premium:monthly"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := api.Purchases.Subscriptionsv2.Get(env["PLAY_PACKAGE_NAMES"], bought.PurchaseToken).Do()
	if err != nil || got.SubscriptionState != "SUBSCRIPTION_STATE_ACTIVE" {
		t.Errorf("got %+v, %v; want it active", got, err)
	}
	if status, set := do(t, http.DefaultClient, "GET", env["PLAY_PUSH_KEYS_URL"], ""); status != 200 || len(set["keys"].([]any)) != 1 {
		t.Errorf("keys: got %d %v, want one key", status, set)
	}
	if env["PLAY_PUSH_AUDIENCE"] != play.PushAudience || env["PLAY_PUSH_EMAIL"] != play.PushEmail {
		t.Errorf("got pushes for %s by %s, want the simulator's own", env["PLAY_PUSH_AUDIENCE"], env["PLAY_PUSH_EMAIL"])
	}
}
