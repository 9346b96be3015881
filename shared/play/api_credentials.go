package play

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json" // refuses duplicate names and invalid UTF-8, which encoding/json lets through

	"grantline/shared/transport"
)

// apiScope is the one scope of the API.
const apiScope = "https://www.googleapis.com/auth/androidpublisher"

// credentialsFile is Google's JSON of either kind; other members are passed over. Of an
// external account nothing is read that could name a file, a command or a metadata server:
// the credentials of AWS are those of the environment.
type credentialsFile struct {
	Type     string `json:"type"`
	Universe string `json:"universe_domain"`

	// service_account
	Email    string `json:"client_email"`
	Key      string `json:"private_key"`
	KeyID    string `json:"private_key_id"`
	TokenURI string `json:"token_uri"`

	// external_account
	Audience         string `json:"audience"`
	SubjectTokenType string `json:"subject_token_type"`
	TokenURL         string `json:"token_url"`
	ImpersonationURL string `json:"service_account_impersonation_url"`
	Impersonation    struct {
		Lifetime int `json:"token_lifetime_seconds"`
	} `json:"service_account_impersonation"`
	Source struct {
		Environment string `json:"environment_id"`
	} `json:"credential_source"`

	signer *rsa.PrivateKey
}

// The members of an external account of AWS (workload identity federation with AWS).
const (
	subjectOfAWS     = "urn:ietf:params:aws:token-type:aws4_request"
	environmentOfAWS = "aws1"
	// maxCredentials bounds the JSON, in bytes. A service account's has 2.5 KB.
	maxCredentials = 16 << 10
)

// audienceShape is how the provider of a workload identity pool is named.
var audienceShape = regexp.MustCompile(`^//iam\.googleapis\.com/projects/[0-9]{1,20}/locations/[a-z0-9-]{1,32}/workloadIdentityPools/[a-z0-9-]{1,64}/providers/[a-z0-9-]{1,64}$`)

// readCredentials reads and checks the JSON. Errors name the member at fault and hold
// nothing of it.
func readCredentials(text string) (credentialsFile, error) {
	var c credentialsFile
	if len(text) > maxCredentials || json.Unmarshal([]byte(text), &c) != nil {
		return credentialsFile{}, errors.New("the credentials are no JSON object as Google gives it")
	}
	if c.Universe != "" && c.Universe != "googleapis.com" {
		return credentialsFile{}, errors.New("universe_domain of the credentials is not googleapis.com")
	}
	switch c.Type {
	case "service_account":
		return c, c.checkServiceAccount()
	case "external_account":
		return c, c.checkExternalAccount()
	}
	return credentialsFile{}, errors.New("type of the credentials is neither service_account nor external_account")
}

func (c *credentialsFile) checkServiceAccount() error {
	if c.Email == "" {
		return errors.New("client_email of the credentials is missing")
	}
	if !addressFits(c.TokenURI, false) {
		return errors.New("token_uri of the credentials is no https URL")
	}
	c.signer = readSigner(c.Key)
	if c.signer == nil {
		return errors.New("private_key of the credentials is no RSA key of 2048 bits or more")
	}
	return nil
}

func (c *credentialsFile) checkExternalAccount() error {
	switch {
	case !audienceShape.MatchString(c.Audience):
		return errors.New("audience of the credentials is no provider of a workload identity pool")
	case c.SubjectTokenType != subjectOfAWS || c.Source.Environment != environmentOfAWS:
		return errors.New("the credentials are of another source than AWS")
	case !addressFits(c.TokenURL, true):
		return errors.New("token_url of the credentials is not Google's")
	case !addressFits(c.ImpersonationURL, true):
		// Google Play invites service accounts alone.
		return errors.New("service_account_impersonation_url of the credentials is not Google's")
	case c.Impersonation.Lifetime != 0 && (c.Impersonation.Lifetime < 600 || c.Impersonation.Lifetime > 43_200):
		return errors.New("token_lifetime_seconds of the credentials is not from 600 to 43200")
	}
	return nil
}

// addressFits says whether a token may be asked for at an address: by https, of Google if
// need be; and in a local build on this machine.
func addressFits(text string, ofGoogle bool) bool {
	address, err := url.Parse(text)
	if err != nil || address.Hostname() == "" || address.User != nil || address.Fragment != "" {
		return false
	}
	host := address.Hostname()
	if transport.Plain(host) {
		return slices.Contains([]string{"http", "https"}, address.Scheme)
	}
	return address.Scheme == "https" && (!ofGoogle || address.Port() == "" && strings.HasSuffix(host, ".googleapis.com"))
}

// minKey is the least size of a key, in bits.
const minKey = 2048

func readSigner(text string) *rsa.PrivateKey {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	signer, ok := key.(*rsa.PrivateKey)
	if err != nil || !ok || signer.N.BitLen() < minKey {
		return nil
	}
	return signer
}
