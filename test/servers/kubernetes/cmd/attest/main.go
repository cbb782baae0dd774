// Command attest stands between pods and the embedded Workload API. Whoever connects is told by the kernel
// (SO_PEERCRED); the cgroup of that process names its pod, as a SPIRE agent attests it; and the connection is handed
// on to the socket that serves this pod alone. Node can do all of this but the first step.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
)

// The kubelet names a pod's cgroup by its UID.
var podCgroup = regexp.MustCompile(`/pod([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(/|$)`)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: attest SOCKET RESOLVER")
		os.Exit(2)
	}
	socket, resolver := os.Args[1], os.Args[2]
	os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	// Any pod may connect: that is what attestation is for.
	if err := os.Chmod(socket, 0o777); err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(connection.(*net.UnixConn), resolver)
	}
}

func serve(caller *net.UnixConn, resolver string) {
	defer caller.Close()
	pod, err := podOf(caller)
	if err != nil {
		log.Print(err)
		return
	}
	target, err := socketOf(pod, resolver)
	if err != nil {
		log.Printf("pod %s: %v", pod, err)
		return
	}
	server, err := net.Dial("unix", target)
	if err != nil {
		log.Print(err)
		return
	}
	defer server.Close()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{server, caller}, {caller, server}} {
		go func() {
			io.Copy(way[0], way[1])
			ended <- struct{}{}
		}()
	}
	<-ended
}

// podOf gives the UID of the pod whose process is at the other end.
func podOf(caller *net.UnixConn) (string, error) {
	raw, err := caller.SyscallConn()
	if err != nil {
		return "", err
	}
	var peer *syscall.Ucred
	var failure error
	if err := raw.Control(func(fd uintptr) {
		peer, failure = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return "", err
	}
	if failure != nil {
		return "", failure
	}
	cgroups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", peer.Pid))
	if err != nil {
		return "", err
	}
	found := podCgroup.FindSubmatch(cgroups)
	if found == nil {
		return "", fmt.Errorf("process %d is of no pod", peer.Pid)
	}
	return string(found[1]), nil
}

// socketOf asks who serves a pod: a line with the UID, answered by a line with a path.
func socketOf(pod, resolver string) (string, error) {
	connection, err := net.Dial("unix", resolver)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if _, err := fmt.Fprintln(connection, pod); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(connection).ReadString('\n')
	return strings.TrimSpace(line), err
}
