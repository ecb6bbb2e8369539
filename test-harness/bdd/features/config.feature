Feature: Configuration
  One file, strict: what is not an option is an error that says where it stands and what was meant.

  @ORCH-CONF-1
  Scenario: A file that is right
    Given the configuration
      """
      pools:
        - id: first
          model: starter
          slots: 2
      """
    When I run orchestratord with "check-config"
    Then it exits with the code 0
    And its output contains "ok: "
    And its output contains "llama-orch.yaml"

  @ORCH-CONF-1
  Scenario: No file at all
    When I run orchestratord with "check-config"
    Then it exits with the code 0
    And its output contains "no file: defaults"

  @ORCH-CONF-3
  Scenario: An unknown key is named with file, line, column and the nearest key
    Given the configuration
      """
      queue:
        interactive: 10
        bacth: 20
      """
    When I run orchestratord with "check-config"
    Then it exits with the code 3
    And its error message contains "llama-orch.yaml:3:3: "
    And its error message contains "`queue.bacth` is not an option"
    And its error message contains "did you mean `batch`?"

  @ORCH-CONF-3
  Scenario: Everything that is wrong is told at once
    Given the configuration
      """
      listen: localhost:6173
      pools:
        - id: Default
          slots: 0
      """
    When I run orchestratord with "check-config"
    Then it exits with the code 3
    And its error message contains ":4:"
    And its error message contains "a whole number from 1 to 64"
    And its error message contains "`pools[0].id`"

  @ORCH-CONF-3
  Scenario: Two pools of one name
    Given the configuration
      """
      pools:
        - id: one
        - id: one
      """
    When I run orchestratord with "check-config"
    Then it exits with the code 3
    And its error message contains "give each pool a name of its own"

  @ORCH-CONF-3
  Scenario: What is not YAML
    Given the configuration
      """
      pools: [
      """
    When I run orchestratord with "check-config"
    Then it exits with the code 3
    And its error message contains "llama-orch.yaml:"

  @ORCH-CONF-2
  Scenario: The command line wins over the environment, and that over the file
    Given the configuration
      """
      queue: {interactive: 1, batch: 1}
      sessions: {max: 1}
      """
    And the variable "LLAMA_ORCH_QUEUE_BATCH" is "2"
    And the variable "LLAMA_ORCH_SESSIONS_MAX" is "2"
    When I run orchestratord with "--print-config --set sessions.max=3"
    Then it exits with the code 0
    And its output contains "interactive: 1"
    And its output contains "batch: 2"
    And its output contains "max: 3"

  @ORCH-SEC-4
  Scenario: The printed configuration does not hold the token
    Given the configuration
      """
      token: a-secret-that-stays-one
      """
    And the variable "LLAMA_ORCH_TOKEN" is ""
    When I run orchestratord with "--print-config"
    Then it exits with the code 0
    And its output does not contain "a-secret-that-stays-one"

  @ORCH-CONF-3
  Scenario Outline: What is wrong with the command line
    When I run orchestratord with "<arguments>"
    Then it exits with the code <code>
    And its error message contains "<told>"

    Examples:
      | arguments                          | code | told              |
      | --no-such-flag                     | 2    | --no-such-flag    |
      | --set pools[0].slots               | 2    | =                 |
      | --set pools[0].slots=many          | 3    | pools[0].slots    |
      | --config /no/such/file.yaml        | 3    | /no/such/file.yaml |

  @ORCH-CONF-3
  Scenario: An address that is taken
    Given a daemon
    When I run orchestratord on the address of the daemon
    Then it exits with the code 4
    And its error message contains "127.0.0.1"
