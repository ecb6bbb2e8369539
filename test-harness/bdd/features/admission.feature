Feature: Admission
  A task that can be served goes into the queue at once and is told where it stands. One that never can be is
  refused before it, and the message names the field.

  Background:
    Given a daemon

  @ORCH-TASK-1 @ORCH-TASK-12
  Scenario: A task is told its place and its predicted start
    When I submit the task "a" with
      """
      {"prompt": "One, two,", "max_tokens": 4, "sampling": {"temperature": 0}}
      """
    Then the status is 202
    And the body has exactly the keys "task_id, queue_position, predicted_start_ms, backoff_ms"
    And the field "queue_position" is 0
    And the field "backoff_ms" is 0
    And "a" ends with "length"
    And "a" has 4 tokens

  @ORCH-TASK-2
  Scenario: The same task sent again is the same task
    Given I note the metrics
    When I submit the task "a" with
      """
      {"task_id": "6f1d2c3e-8a4b-4c5d-9e6f-000000000001", "prompt": "One, two,", "max_tokens": 3}
      """
    And I submit the task "again" with
      """
      {"max_tokens": 3, "prompt": "One, two,", "task_id": "6f1d2c3e-8a4b-4c5d-9e6f-000000000001"}
      """
    Then the status is 202
    And the field "task_id" is "6f1d2c3e-8a4b-4c5d-9e6f-000000000001"
    And "a" and "again" said the same
    And the counters have moved by exactly
      | tasks_enqueued_total | priority=interactive | 1               |
      | tokens_in_total      |                      | tokens_in of a  |
      | tokens_out_total     |                      | tokens_out of a |

  @ORCH-TASK-2
  Scenario: The same id with another body is refused
    Given I submit the task "a" with
      """
      {"task_id": "6f1d2c3e-8a4b-4c5d-9e6f-000000000002", "prompt": "One, two,", "max_tokens": 3}
      """
    When I submit the task "other" with
      """
      {"task_id": "6f1d2c3e-8a4b-4c5d-9e6f-000000000002", "prompt": "One, two,", "max_tokens": 4}
      """
    Then the status is 400
    And it is an error envelope with the code "INVALID_PARAMS"
    And the message contains "`task_id`"
    And "a" ends with "length"

  @ORCH-TASK-11
  Scenario: A conversation goes through the model's own chat template
    When I submit the task "a" with
      """
      {"messages": [{"role": "user", "content": "What is the capital of France? Answer in one word."}],
       "max_tokens": 32, "sampling": {"temperature": 0}}
      """
    Then "a" ends with "stop"
    And the text of "a" contains "Paris"

  @ORCH-TASK-3 @ORCH-TASK-4 @ORCH-TASK-5 @ORCH-ERR-1
  Scenario Outline: What can never be served is refused, and the message says what is wrong
    When I POST "/v1/tasks" with the body
      """
      <body>
      """
    Then the status is 400
    And it is an error envelope with the code "INVALID_PARAMS"
    And the field "retriable" is false
    And the field "retry_after_ms" is null
    And the message contains "<told>"

    Examples:
      | body                                                            | told                       |
      | {"prompt": "x", "max_token": 5}                                 | did you mean `max_tokens`? |
      | {"prompt": "x", "messages": [{"role": "user", "content": "x"}]} | exactly one of them        |
      | {"max_tokens": 5}                                               | send one of them           |
      | {"prompt": ""}                                                  | `prompt`                   |
      | {"prompt": "x\\u0000y"}                                        | `prompt`                   |
      | {"prompt": "x", "max_tokens": -1}                               | `max_tokens`               |
      | {"prompt": "x", "max_tokens": "5"}                              | `max_tokens`               |
      | {"prompt": "x", "sampling": {"temperature": -1}}                | `sampling.temperature`     |
      | {"prompt": "x", "priority": "urgent"}                           | `interactive`              |
      | {"prompt": "x", "task_id": "7"}                                 | `task_id`                  |
      | {"prompt": "x", "seed": 18446744073709551616}                   | `seed`                     |
      | {"prompt": "x"                                                  | not JSON                   |
      | ["x"]                                                           | send a JSON object         |

  @ORCH-TASK-8 @ORCH-TASK-9
  Scenario Outline: A pool that is not there is refused
    When I POST "/v1/tasks" with the body
      """
      <body>
      """
    Then the status is 400
    And it is an error envelope with the code "INVALID_PARAMS"
    And the message contains "<told>"

    Examples:
      | body                                       | told    |
      | {"prompt": "x", "model_ref": "nowhere"}    | nowhere |
      | {"prompt": "x", "engine": "vllm"}          | vllm    |
      | {"workload": "rerank", "inputs": ["a", "b"]} | rerank  |

  @ORCH-TASK-6
  Scenario: A prompt that does not fit is refused with the numbers
    Given a daemon with
      | pools[0].ctx=256 |
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "one two three four", "max_tokens": 400}
      """
    Then the status is 400
    And the message contains "256"
    And the message contains "400"
