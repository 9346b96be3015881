package server

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

func TestWhereTheKernelGivesAllPortsOneOfThoseIsTaken(t *testing.T) {
	for _, end := range []int{0, 1024, lowest, lowest + least - 1} {
		port, err := portBelow(t.Context(), end)
		if err != nil || port == 0 {
			t.Errorf("end %d: got %d, %v, want a port", end, port, err)
		}
	}
}

func TestThePortIsHeldByWhoeverListensOnIt(t *testing.T) {
	port, err := Port(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		child.Process.Kill()
		child.Wait()
	}()
	holds := func(pid int, want holder) {
		t.Helper()
		if got, err := holderOf(port, pid); got != want || err != nil {
			t.Errorf("process %d: got %d, %v, want %d", pid, got, err, want)
		}
	}
	holds(os.Getpid(), nobody)
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	holds(os.Getpid(), ours)
	holds(child.Process.Pid, another)
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	l.Close()
	holds(os.Getpid(), nobody) // connections are no listeners
}
