//go:build local

package secret_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"grantline/shared/aws/secret"
	"grantline/shared/fault"
)

func TestALocalBuildTakesALiteralAndNeverPrintsIt(t *testing.T) {
	const literal = "test_sk_abc"
	ref, err := secret.Parse(literal)
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t)
	got, err := s.vault(newHand()).Open(ref)(t.Context(), false)
	if err != nil || got != literal {
		t.Errorf("got %q and error %v, want the literal", got, err)
	}
	within := struct{ unexported secret.Reference }{ref}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", ref, ref, ref, ref), fmt.Sprintf("%v %+v %#v", within, within, within)} {
		if strings.Contains(text, literal) {
			t.Errorf("%q shows the literal", text)
		}
	}
	if got := s.count(); got != 0 {
		t.Errorf("AWS was asked %d times, want 0", got)
	}
}

func TestALocalBuildReadsAPEMFileAgainWhenAskedForAFreshOne(t *testing.T) {
	name := filepath.Join(t.TempDir(), "client.pem")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("-----BEGIN A-----\n")
	ref, err := secret.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	hand := newHand()
	open := newService(t).vault(hand).Open(ref)
	if got, err := open(t.Context(), false); err != nil || got != "-----BEGIN A-----" {
		t.Errorf("got %q and error %v, want the first file", got, err)
	}
	write("-----BEGIN B-----\n")
	hand.move(time.Minute)
	if got, err := open(t.Context(), true); err != nil || got != "-----BEGIN B-----" {
		t.Errorf("got %q and error %v, want the second file", got, err)
	}
	if inline, err := secret.ParseFile("-----BEGIN C-----"); err != nil {
		t.Errorf("PEM in place of a file: %v", err)
	} else if got, err := newService(t).vault(hand).Open(inline)(t.Context(), false); err != nil || got != "-----BEGIN C-----" {
		t.Errorf("got %q and error %v, want the PEM itself", got, err)
	}
}

func TestAMissingOrHugeFileIsAnOutage(t *testing.T) {
	huge := filepath.Join(t.TempDir(), "huge")
	if err := os.WriteFile(huge, make([]byte, 64<<10+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "none"), huge} {
		ref, err := secret.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newService(t).vault(newHand()).Open(ref)(t.Context(), false); !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: error is %v, want fault.Unavailable", name, err)
		}
	}
}
