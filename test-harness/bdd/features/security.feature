Feature: Security
  One token opens everything but the one word of `/health`; only this machine can reach the daemon, and no web
  page can make a browser use it.

  Background:
    Given a daemon

  @ORCH-SEC-2
  Scenario: Anyone may ask whether it serves, and learns nothing else
    When I GET "/health" without a token
    Then the status is 200
    And the body is exactly
      """
      {"status": "ok"}
      """

  @ORCH-SEC-4
  Scenario: The token is not shown
    Given a daemon of its own with
      | log.level=trace |
    When I GET "/health"
    And I submit an interactive task "a" of 2 tokens
    And "a" ends with "length"
    Then its log does not hold the token
