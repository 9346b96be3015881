package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"grantline/shared/dbtest/local"
)

// The test binary plays the command that is run.
func TestMain(m *testing.M) {
	switch os.Getenv("ACT_AS") {
	case "":
		os.Exit(m.Run())
	case "command":
		if err := listTables(os.Getenv("DYNAMODB_ENDPOINT")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "failure":
		os.Exit(7)
	}
}

func listTables(endpoint string) error {
	client := dynamodb.NewFromConfig(local.Config(endpoint))
	out, err := client.ListTables(context.Background(), &dynamodb.ListTablesInput{})
	if err != nil {
		return err
	}
	if len(out.TableNames) > 0 {
		return fmt.Errorf("got tables %v, want a server of its own", out.TableNames)
	}
	return os.WriteFile(os.Getenv("TELL"), []byte(endpoint), 0o600)
}

// prepare brings the test to the repository's root, where the jars are.
func prepare(t *testing.T, as string) (program string) {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: the services need Java 17 and Maven", program)
		}
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("../../..")
	t.Setenv("ACT_AS", as)
	return program
}

func TestACommandHasTablesOfItsOwnThatEndWithIt(t *testing.T) {
	program := prepare(t, "command")
	told := t.TempDir() + "/endpoint"
	t.Setenv("TELL", told)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	if err := run(t.Context(), []string{program}); err != nil {
		t.Fatal(err)
	}
	endpoint, err := os.ReadFile(told)
	if err != nil || !strings.HasPrefix(string(endpoint), "http://127.0.0.1:") {
		t.Errorf("the command was told %q, %v, want an address of this machine", endpoint, err)
	}
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) != 0 {
		t.Errorf("got %v left, %v, want nothing", left, err)
	}
}

func TestAFailedCommandsCodeIsHandedOn(t *testing.T) {
	program := prepare(t, "failure")
	err := run(t.Context(), []string{program})
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 7 {
		t.Errorf("got %v, want the command's own end with 7", err)
	}
}
