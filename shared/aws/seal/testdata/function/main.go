// Command function is a small function of all the edges, for tests to build and start.
package main

import (
	"net/http"

	"grantline/shared/aws/apigw"
	"grantline/shared/aws/queue"
	"grantline/shared/aws/seal"
	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
)

func main() {
	now, aws := clock.System(), setting.AWS()
	vault := secret.NewVault(aws, now, setting.Logger())

	r := setting.Read()
	key := vault.Open(r.Secret("TOSS_SECRET_KEY"))
	certificate := vault.Open(r.OptionalSecretFile("APPS_IN_TOSS_CERTIFICATE"))
	address := r.URL("TOSS_API_URL", "the address of the Toss Payments API")
	sealer := seal.New(seal.ReadKeys(r, aws), now)
	charges := queue.NewSender[string](queue.Client(aws), r.QueueURL("TOSS_CHARGE_QUEUE_URL"), now)
	r.Check()

	apigw.Start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, do := range []func() error{
			func() error { _, err := key(r.Context(), false); return err },
			func() error { _, err := certificate(r.Context(), false); return err },
			func() error { _, err := sealer.Seal(r.Context(), []byte(address), []byte(now.Now().String())); return err },
			func() error { return charges.Reach(r.Context()) },
		} {
			if err := do(); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
	}))
}
