package sim_test

import (
	"strings"
	"testing"

	"grantline/infra/sim"
)

// inTheTossApp buys what an example is about, and puts it where its control can be used.
func inTheTossApp(t *testing.T, server *sim.Server, event, example string) string {
	control := func(name, body string) map[string]any {
		status, got := post(t, server.URL()+"/_sim/appsintoss/"+name, body)
		if status != 200 {
			t.Fatalf("%s %s: got %d %v, want 200", name, body, status, got)
		}
		return got
	}
	if event == "appsintoss.end-certificate" {
		return strings.Replace(example, "1f3a5c7e9b2d4f60", control("certificate", "")["certificateId"].(string), 1)
	}
	control("calm", "") // the example before may have been a failure to come
	id := control("purchase", "sku=premium-1month")["orderId"].(string)
	switch event {
	case "appsintoss.restart":
		control("auto-renew", "on=false&orderId="+id)
	case "appsintoss.resume":
		control("pause", "orderId="+id)
	}
	return strings.Replace(example, "0199a1b2-0000-7000-8000-000000000001", id, 1)
}

func TestRotatedCertificateIsInTheFilesOfTheEnvironment(t *testing.T) {
	server := start(t, sim.Options{Dir: t.TempDir()})
	env := server.Env()
	if len(env["APPS_IN_TOSS_WEBHOOK_SECRET"]) < 32 {
		t.Errorf("webhook secret: got %d characters, want 32 or more", len(env["APPS_IN_TOSS_WEBHOOK_SECRET"]))
	}
	const order = `{"orderId":"nobody-ordered-this"}`
	before := miniApp(t, env, true)
	for _, step := range []string{"rotate-certificate", "end-certificate"} {
		if status, got := post(t, server.URL()+"/_sim/appsintoss/"+step, ""); status != 200 {
			t.Fatalf("%s: got %d %v, want 200", step, status, got)
		}
		if status, got := do(t, miniApp(t, env, true), "POST", env["APPS_IN_TOSS_API_URL"]+orderStatus, order); status != 200 || got["resultType"] != "SUCCESS" {
			t.Errorf("after %s: got %d %v, want the files to have one that is taken", step, status, got)
		}
	}
	if response, err := before.Post(env["APPS_IN_TOSS_API_URL"]+orderStatus, "application/json", strings.NewReader(order)); err == nil {
		response.Body.Close()
		t.Errorf("the one before: got %d, want no connection", response.StatusCode)
	}
}
