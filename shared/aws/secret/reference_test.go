package secret_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"grantline/shared/aws/secret"
)

func TestReferencesAreARNsAndNamesOfParameters(t *testing.T) {
	for _, text := range []string{
		"arn:aws:secretsmanager:ap-northeast-2:111122223333:secret:grantline/toss-AbCdEf",
		"arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:toss-AbCdEf",
		"arn:aws:ssm:ap-northeast-2:111122223333:parameter/grantline/toss",
		"/grantline/toss",
		"/grantline/toss:3",
	} {
		got, err := secret.Parse(text)
		if err != nil || !got.Given() || got.String() != text {
			t.Errorf("Parse(%q) is %v with error %v, want itself", text, got, err)
		}
	}
	if (secret.Reference{}).Given() {
		t.Error("the zero Reference is given")
	}
}

func TestWhatIsNeitherIsRefusedWithoutShowingIt(t *testing.T) {
	for _, text := range []string{
		"arn:aws:s3:::bucket",
		"arn:aws:secretsmanager:ap-northeast-2:111122223333:policy:x",
		"arn:aws:ssm:ap-northeast-2:111122223333:document/x",
		"arn:aws:secretsmanager",
		"arn:aws:secretsmanager:ap-northeast-2:111122223333:secret:a b",
		"",
	} {
		got, err := secret.Parse(text)
		if !errors.Is(err, secret.ErrNotReference) || got.Given() {
			t.Errorf("Parse(%q) is %v with error %v, want %v", text, got, err, secret.ErrNotReference)
		}
	}
}

func TestAReferencePrintsAsItsPlaceWithEveryVerb(t *testing.T) {
	const text = "/grantline/toss"
	ref, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", ref)
	for name, got := range map[string]string{"v": fmt.Sprintf("%v", ref), "+v": fmt.Sprintf("%+v", ref), "#v": fmt.Sprintf("%#v", ref), "log": log.String()} {
		if !strings.Contains(got, text) {
			t.Errorf("%s prints %q, want %q", name, got, text)
		}
	}
}
