Feature: Configuration
  One file, strict: what is not an option is an error that says where it stands and what was meant.

  @ORCH-CONF-1
  Scenario: No file at all
    When I run orchestratord with "check-config"
    Then it exits with the code 0
    And its output contains "no file: defaults"

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
