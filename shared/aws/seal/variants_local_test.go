//go:build local

package seal_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"grantline/shared/aws/seal"
	"grantline/shared/aws/setting"
)

func noAWS(context.Context) (aws.Config, error) { return aws.Config{}, errors.New("there is no AWS") }

func read(env map[string]string) (keys seal.Keys, complaints string) {
	var out strings.Builder
	r := setting.ReadFrom(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, &out, func(int) {})
	keys = seal.ReadKeys(r, noAWS)
	r.Check()
	return keys, out.String()
}

func TestALocalBuildSealsWithAKeyOfItsOwn(t *testing.T) {
	env := map[string]string{"LOCAL_DATA_KEY": strings.Repeat("0a", 32), "DATA_KEY": "local"}
	keys, complaints := read(env)
	if complaints != "" {
		t.Fatalf("complained %q", complaints)
	}
	sealed := mustSeal(t, seal.New(keys, newHand()), secret, bound)
	again, _ := read(env)
	if got, err := seal.New(again, newHand()).Open(t.Context(), sealed, bound); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("another process got %q and error %v, want what was sealed", got, err)
	}
	other, _ := read(map[string]string{"LOCAL_DATA_KEY": strings.Repeat("0b", 32)})
	if _, err := seal.New(other, newHand()).Open(t.Context(), sealed, bound); !errors.Is(err, seal.ErrBroken) {
		t.Errorf("another key: error is %v, want %v", err, seal.ErrBroken)
	}
}

func TestABadLocalKeyIsRefusedAndNotShown(t *testing.T) {
	for _, key := range []string{"0a", strings.Repeat("0a", 33), strings.Repeat("zz", 32)} {
		if _, got := read(map[string]string{"LOCAL_DATA_KEY": key}); got != "LOCAL_DATA_KEY: should be 64 hexadecimal digits\n" {
			t.Errorf("%q: complained %q", key, got)
		}
	}
	if _, got := read(nil); got != "DATA_KEY: should be the ARN of a KMS key; it is not set\n" {
		t.Errorf("without any key: complained %q", got)
	}
}
