// Command variables is an application that reads only its environment: it prints the name of each variable and the
// SHA-256 of its value, a variable a line, before anything else. With the argument `stay` it then waits for SIGTERM.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Printf("%s %x\n", name, sha256.Sum256([]byte(value)))
	}
	if len(os.Args) == 2 && os.Args[1] == "stay" {
		<-ended
	}
}
