package seal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"grantline/shared/aws/seal"
	"grantline/shared/fault"
)

const keyARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// kms answers as AWS KMS does, to the real client of the SDK.
type kms struct {
	*keeper
	t      *testing.T
	answer string // the type of the error to answer with, if any
	asked  []string
}

func (k *kms) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		KeyID             string `json:"KeyId"`
		KeySpec           string
		CiphertextBlob    []byte
		EncryptionContext map[string]string
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in); err != nil {
		k.t.Errorf("the request is no JSON: %v", err)
	}
	operation := r.Header.Get("X-Amz-Target")
	k.asked = append(k.asked, operation)
	if in.KeyID != keyARN || in.EncryptionContext["purpose"] != "grantline" || len(in.EncryptionContext) != 1 {
		k.t.Errorf("%s with key %q and context %v, want %q and purpose grantline", operation, in.KeyID, in.EncryptionContext, keyARN)
	}
	if !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/kms/") {
		k.t.Errorf("%s is not for the region of the key", operation)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	fail := func(kind string) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":%q}`, kind)
	}
	if k.answer != "" {
		fail(k.answer)
		return
	}
	switch operation {
	case "TrentService.GenerateDataKey":
		if in.KeySpec != "AES_256" {
			k.t.Errorf("asked for a key of %q, want AES_256", in.KeySpec)
		}
		plain, wrapped, _ := k.Generate(r.Context())
		json.NewEncoder(w).Encode(map[string]any{"Plaintext": plain, "CiphertextBlob": wrapped, "KeyId": keyARN})
	case "TrentService.Decrypt":
		plain, err := k.Unwrap(r.Context(), in.CiphertextBlob)
		if err != nil {
			fail("InvalidCiphertextException")
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"Plaintext": plain, "KeyId": keyARN})
	default:
		k.t.Errorf("asked for %s", operation)
	}
}

func newKMS(t *testing.T) (*kms, func(context.Context) (aws.Config, error)) {
	k := &kms{keeper: newKeeper(), t: t}
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	return k, func(context.Context) (aws.Config, error) {
		return aws.Config{
			Region:       "ap-northeast-2",
			BaseEndpoint: aws.String(server.URL),
			Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "x"}, nil
			}),
		}, nil
	}
}

func TestDataKeysComeFromKMSAndAChargeCostsNoCall(t *testing.T) {
	k, config := newKMS(t)
	writer := seal.New(seal.KMS(config, keyARN), newHand())
	reader := seal.New(seal.KMS(config, keyARN), newHand())
	if len(k.asked) != 0 {
		t.Errorf("KMS was asked %v before the first use", k.asked)
	}
	for i := range 100 {
		bound := fmt.Appendf(nil, "sub_%d", i)
		got, err := reader.Open(t.Context(), mustSeal(t, writer, secret, bound), bound)
		if err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("got %q and error %v, want what was sealed", got, err)
		}
	}
	if got, want := strings.Join(k.asked, " "), "TrentService.GenerateDataKey TrentService.Decrypt"; got != want {
		t.Errorf("KMS was asked %s, want %s", got, want)
	}
}

func TestOnlyABrokenEnvelopeIsBrokenToKMS(t *testing.T) {
	k, config := newKMS(t)
	sealed := mustSeal(t, seal.New(seal.KMS(config, keyARN), newHand()), secret, bound)
	for kind, want := range map[string]error{
		"InvalidCiphertextException":  seal.ErrBroken,
		"IncorrectKeyException":       fault.Unavailable,
		"AccessDeniedException":       fault.Unavailable,
		"DisabledException":           fault.Unavailable,
		"KMSInternalException":        fault.Unavailable,
		"ThrottlingException":         fault.Unavailable,
		"KMSInvalidStateException":    fault.Unavailable,
		"DependencyTimeoutException":  fault.Unavailable,
		"UnrecognizedClientException": fault.Unavailable,
	} {
		k.answer = kind
		s := seal.New(seal.KMS(config, keyARN), newHand())
		if _, err := s.Open(t.Context(), sealed, bound); !errors.Is(err, want) {
			t.Errorf("%s: Open's error is %v, want %v", kind, err, want)
		}
		if _, err := s.Seal(t.Context(), secret, bound); !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: Seal's error is %v, want fault.Unavailable", kind, err)
		}
	}
}

func TestWithoutConfigurationTheKeyIsUnavailable(t *testing.T) {
	s := seal.New(seal.KMS(func(context.Context) (aws.Config, error) { return aws.Config{}, errors.New("none") }, keyARN), newHand())
	if _, err := s.Seal(t.Context(), secret, bound); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Seal's error is %v, want fault.Unavailable", err)
	}
}
