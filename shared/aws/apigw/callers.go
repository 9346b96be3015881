package apigw

import (
	"log/slog"
	"net/http"
	"time"

	"grantline/shared/aws/secret"
	"grantline/shared/aws/setting"
	"grantline/shared/clock"
	"grantline/shared/web"
)

// keySetTimeout bounds the fetching of an identity provider's keys.
const keySetTimeout = 5 * time.Second

// Callers reads how callers prove who they are, the same in every function with a door to
// the world.
func Callers(r *setting.Reader, vault *secret.Vault, now clock.Clock, log *slog.Logger) *web.Callers {
	callers := &web.Callers{
		PublicKeys:         vault.Open(r.Secret("PUBLIC_KEYS")),
		SecretKeys:         vault.Open(r.Secret("SECRET_KEYS")),
		PublicKeyCustomers: r.Choice("PUBLIC_KEY_CUSTOMERS", "on", "on", "off") == "on",
	}
	if issuer := r.OptionalText("JWT_ISSUER", ""); issuer != "" {
		callers.Tokens = &web.Tokens{
			Issuer: issuer, Audience: r.Text("JWT_AUDIENCE", "the audience that tokens of JWT_ISSUER are made for"),
			KeysURL: r.URL("JWT_KEYS_URL", "the address of the key set of JWT_ISSUER"),
			Client:  &http.Client{Timeout: keySetTimeout}, Clock: now, Log: log,
		}
	}
	return callers
}
